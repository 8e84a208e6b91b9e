//! Streams and memory of others: the same clouds as from the host.

use super::gpu;
use cudarc::driver::{CudaContext, DevicePtr};
use inputs::Random;
use partstad::{
    device::gpu::Gpu, input::Input, io::points::PointCloud, pipeline::Options, stages::cloud::Up,
};

fn points(n: usize, odd: &[usize]) -> PointCloud {
    let mut random = Random(3);
    let mut row = || [0; 3].map(|_| random.uniform());
    let mut points = PointCloud {
        positions: (0..n).map(|_| row().map(|x| f64::from(3.0 * x - 1.0))).collect(),
        colors: (0..n).map(|_| row()).collect(),
        ..PointCloud::default()
    };
    odd.iter().for_each(|&row| points.positions[row][1] = f64::NAN);
    points
}

#[test]
fn a_cloud_of_a_device_is_that_of_the_host() {
    let gpu = gpu();
    for (odd, up) in [(&[][..], Up::Y), (&[3, 77], Up::Y), (&[], Up::MinusZ)] {
        let mut options = Options::default();
        options.cloud.up = up;
        let points = points(500, odd);
        let positions: Vec<f32> = points.positions.as_flattened().iter().map(|&x| x as f32).collect();
        let here = Input::fit(points.clone(), &options).unwrap();
        let (positions, colors) =
            (gpu.upload(&positions).unwrap(), gpu.upload(points.colors.as_flattened()).unwrap());
        let there = Input::on_device(&gpu, &positions, Some(&colors), &options).unwrap();
        assert_eq!(there.cloud, here.cloud);
        let resident = gpu.download(&*there.cloud.colors.device(&gpu).unwrap()).unwrap();
        super::same(&resident, here.cloud.colors.as_flattened(), "colours");
        let short = colors.slice(..9);
        let mut few = gpu.alloc(9).unwrap();
        gpu.copy(&short, &mut few).unwrap();
        let refused = Input::on_device(&gpu, &positions, Some(&few), &options).unwrap_err().to_string();
        assert!(refused.contains("9 of colours"), "{refused}");
    }
}

#[test]
fn work_runs_on_a_stream_of_the_callers() {
    gpu();
    let context = CudaContext::new(0).unwrap();
    let stream = context.new_stream().unwrap();
    let values: Vec<f32> = Random(5).floats(400);
    {
        // SAFETY: the stream lives longer than what is made from it.
        let ours = unsafe { Gpu::on_raw_stream(stream.cu_stream().cast()) }.unwrap();
        assert_eq!(ours.stream().cu_stream(), stream.cu_stream());
        let theirs = stream.clone_htod(&values).unwrap();
        let (at, _order) = theirs.device_ptr(&stream);
        // SAFETY: `theirs` is so many values and lives on.
        let borrowed = unsafe { ours.borrow_raw::<f32>(at, theirs.len()) };
        super::same(&ours.download(&*borrowed).unwrap(), &values, "borrowed");
        drop(borrowed);
        assert_eq!(ours.address(&ours.upload(&[1.0f32]).unwrap()) % 4, 0);
        assert_eq!(ours.download(&ours.filled(2.5, 7).unwrap()).unwrap(), [2.5; 7]);
    }
    stream.synchronize().unwrap();
}
