//! A program that uses `cust` hands its stream and buffers to our kernels, and takes ours, without a copy.
//!
//! `cargo run --features cust --example 05-cust`; cust links libcuda and finds it in `CUDA_LIBRARY_PATH`.

use cust::{
    context::CurrentContext,
    memory::{CopyDestination, DeviceBuffer},
    stream::{Stream, StreamFlags},
};
use partstad::{device::gpu::Gpu, ops::basic::softmax};

const COLUMNS: usize = 3;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let _context = cust::quick_init()?;
    let stream = Stream::new(StreamFlags::NON_BLOCKING, None)?;
    // SAFETY: `stream` is dropped after `gpu` and everything made from it.
    let gpu = unsafe { Gpu::on_cust_stream(&stream)? };

    let votes = [4.0f32, 1.0, 0.5, 0.0, 2.0, 2.0];
    let on_device = DeviceBuffer::from_slice(&votes)?;
    let mut probabilities = DeviceBuffer::from_slice(&[0.0f32; 6])?;
    // cust's copies are on the default stream, which a non-blocking one does not wait for.
    CurrentContext::synchronize()?;
    let (from, mut to) = (gpu.borrow(&on_device), gpu.borrow_mut(&mut probabilities));
    softmax::cuda::forward(&gpu, &*from, COLUMNS, &mut *to)?;
    drop(to);
    stream.synchronize()?;
    let found = probabilities.as_host_vec()?;
    assert_eq!(found, softmax::cpu::forward(&votes, COLUMNS).unwrap());

    let ours = gpu.upload(&found)?;
    gpu.synchronize()?;
    let mut back = [0.0f32; 6];
    gpu.lend(&ours).copy_to(&mut back)?;
    assert_eq!(back[..], found);
    println!("softmax of {votes:?}, {COLUMNS} columns a row, on {gpu:?}: {found:?}");
    Ok(())
}
