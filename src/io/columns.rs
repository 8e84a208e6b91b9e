//! Named columns of numbers, as most formats hold clouds, to points and colours.

use super::{
    budget::Budget,
    points::{ColorUnit, PointCloud},
};
use crate::error::{Error, Result};
use std::path::Path;

/// A number type of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scalar {
    I8,
    U8,
    I16,
    U16,
    I32,
    U32,
    I64,
    U64,
    F16,
    F32,
    F64,
}

impl Scalar {
    /// Bytes of one.
    pub fn size(self) -> usize {
        match self {
            Scalar::I8 | Scalar::U8 => 1,
            Scalar::I16 | Scalar::U16 | Scalar::F16 => 2,
            Scalar::I32 | Scalar::U32 | Scalar::F32 => 4,
            Scalar::I64 | Scalar::U64 | Scalar::F64 => 8,
        }
    }

    /// The number that the first bytes hold.
    pub fn number(self, bytes: &[u8], big_endian: bool) -> f64 {
        macro_rules! number {
            ($t:ty) => {{
                let raw = *bytes.first_chunk().expect("the caller gives the bytes of one");
                if big_endian { <$t>::from_be_bytes(raw) } else { <$t>::from_le_bytes(raw) }
            }};
        }
        match self {
            Scalar::I8 => number!(i8).into(),
            Scalar::U8 => number!(u8).into(),
            Scalar::I16 => number!(i16).into(),
            Scalar::U16 => number!(u16).into(),
            Scalar::I32 => number!(i32).into(),
            Scalar::U32 => number!(u32).into(),
            Scalar::I64 => number!(i64) as f64,
            Scalar::U64 => number!(u64) as f64,
            Scalar::F16 => number!(half::f16).into(),
            Scalar::F32 => number!(f32).into(),
            Scalar::F64 => number!(f64),
        }
    }
}

/// One number of every row.
#[derive(Debug)]
pub(super) struct Column {
    name: String,
    scalar: Scalar,
    /// Whether a number is a colour as 0xRRGGBB; those of floats are their bits.
    packed: bool,
    pub values: Vec<f64>,
}

impl Column {
    /// An empty column, if a cloud needs it.
    pub fn wanted(name: &str, scalar: Scalar) -> Option<Column> {
        let name = normalized(name);
        let packed = PACKED.contains(&&name[..]);
        let known = packed || INTENSITIES.contains(&&name[..]) || triples().flatten().any(|n| n == name);
        known.then(|| Column { name, scalar, packed, values: vec![] })
    }

    /// An empty column of this name.
    pub fn named(name: &str, scalar: Scalar) -> Column {
        Column { name: name.to_string(), scalar, packed: false, values: vec![] }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Adds the number that the first bytes hold.
    pub fn push(&mut self, bytes: &[u8], big_endian: bool) {
        let scalar = match self.scalar {
            Scalar::F32 | Scalar::I32 if self.packed => Scalar::U32,
            scalar => scalar,
        };
        self.values.push(scalar.number(bytes, big_endian));
    }

    /// Adds the number that a word says; false if it says none.
    pub fn push_word(&mut self, word: &str) -> bool {
        let Some(number) = number(word) else { return false };
        // Packed colours stand in text as the integer, signed or not, or as the tiny float of its bits.
        let signed = number.fract() == 0.0 && (i32::MIN.into()..0.0).contains(&number);
        let unsigned = number.fract() == 0.0 && (0.0..=u32::MAX.into()).contains(&number);
        self.values.push(match self.packed {
            true if signed => f64::from(number as i32 as u32),
            true if !unsigned => f64::from((number as f32).to_bits()),
            _ => number,
        });
        true
    }

    fn unit(&self) -> ColorUnit {
        match self.scalar {
            Scalar::F16 | Scalar::F32 | Scalar::F64 => ColorUnit::Guess,
            Scalar::I16 | Scalar::U16 => ColorUnit::Short,
            _ => ColorUnit::Byte,
        }
    }
}

/// A number as programs write it: also `1.#QNAN`, `-nan(ind)` and the like.
pub(super) fn number(word: &str) -> Option<f64> {
    word.parse().ok().or_else(|| {
        let lower = word.trim_start_matches(['-', '+']).to_ascii_lowercase();
        let (nan, infinite) =
            (lower.starts_with("nan(") || lower.starts_with("1.#"), lower.starts_with("1.#inf"));
        (nan || infinite).then_some(if infinite { f64::INFINITY } else { f64::NAN })
    })
}

const POSITIONS: [[&str; 3]; 4] = [
    ["x", "y", "z"],
    ["pos_x", "pos_y", "pos_z"],
    ["position_x", "position_y", "position_z"],
    ["px", "py", "pz"],
];
const COLORS: [[&str; 3]; 8] = [
    ["red", "green", "blue"],
    ["r", "g", "b"],
    ["diffuse_red", "diffuse_green", "diffuse_blue"],
    ["diffuse_r", "diffuse_g", "diffuse_b"],
    ["color_r", "color_g", "color_b"],
    ["color_red", "color_green", "color_blue"],
    ["rf", "gf", "bf"],
    ["ambient_red", "ambient_green", "ambient_blue"],
];
/// Arrays of three columns: `points:0` and so on, as ParaView and our own readers of arrays name them.
const POSITION_ARRAYS: [&str; 12] = [
    "points",
    "point",
    "xyz",
    "positions",
    "position",
    "pos",
    "coords",
    "coord",
    "vertices",
    "pts",
    "pc",
    "p",
];
const COLOR_ARRAYS: [&str; 7] = ["colors", "color", "rgb", "colours", "colour", "rgbs", "rgba"];
const SPLAT: [&str; 3] = ["f_dc_0", "f_dc_1", "f_dc_2"];
const PACKED: [&str; 2] = ["rgb", "rgba"];
const INTENSITIES: [&str; 6] = ["intensity", "intensities", "reflectance", "reflectivity", "gray", "grey"];

fn triples() -> impl Iterator<Item = [String; 3]> {
    let named = POSITIONS.into_iter().chain(COLORS).chain([SPLAT]).map(|names| names.map(String::from));
    named.chain(arrays(&POSITION_ARRAYS)).chain(arrays(&COLOR_ARRAYS))
}

fn arrays(names: &[&'static str]) -> impl Iterator<Item = [String; 3]> {
    names.iter().map(|name| [0, 1, 2].map(|i| format!("{name}:{i}")))
}

/// Whether an array of this name may be of a cloud.
pub(super) fn is_known(name: &str) -> bool {
    let array = format!("{name}:0");
    [name, &array].into_iter().any(|name| Column::wanted(name, Scalar::F64).is_some())
}

/// Whether an array of this name holds colours.
pub(super) fn is_colors(name: &str) -> bool {
    COLOR_ARRAYS.contains(&&normalized(name)[..])
}

/// Whether an array of this name holds points.
pub(super) fn is_points(name: &str) -> bool {
    POSITION_ARRAYS.contains(&&normalized(name)[..])
}

/// In lower case, without what CloudCompare puts before.
fn normalized(name: &str) -> String {
    let name = name.trim().trim_start_matches(['/', '#']).to_lowercase();
    name.strip_prefix("scalar_").map_or(name.clone(), String::from)
}

/// Bytes that a row takes until it is in a cloud, its columns apart.
pub(super) const ROW: usize = 48;
/// Rows that room is made for at once where nobody says how many they are.
pub(super) const BATCH: usize = 1 << 16;

/// Makes room for `count` more rows.
///
/// # Errors
/// In words, if the budget does not allow it.
pub(super) fn make_room<'a>(
    columns: impl Iterator<Item = &'a mut Column>,
    count: usize,
    budget: &mut Budget,
) -> Result<(), String> {
    let columns: Vec<&mut Column> = columns.collect();
    budget.take(count, ROW + columns.len() * size_of::<f64>())?;
    columns.into_iter().for_each(|column| column.values.reserve_exact(count));
    Ok(())
}

/// The rows of a file.
///
/// `what`: what a row is, for messages; `names`: all that a row has; `elsewhere`: where the colours are if a row has none.
pub(super) fn cloud(
    columns: Vec<Column>,
    what: &str,
    names: &[String],
    elsewhere: Option<String>,
    path: &Path,
) -> Result<PointCloud> {
    let unfit = |message: String| Error::format(path, message);
    for (i, column) in columns.iter().enumerate() {
        if columns[..i].iter().any(|other| other.name == column.name) {
            let message = format!("has two columns named {}; rename or remove one", column.name);
            return Err(unfit(message));
        }
    }
    let find = |names: [String; 3]| -> Option<[&Column; 3]> {
        let [a, b, c] = names.map(|name| columns.iter().find(|column| column.name == name));
        Some([a?, b?, c?])
    };
    let own = |names: [&str; 3]| find(names.map(String::from));
    let found = POSITIONS.into_iter().find_map(own).or_else(|| arrays(&POSITION_ARRAYS).find_map(find));
    let Some(positions) = found else {
        let missing = ["x", "y", "z"].into_iter().find(|&name| !columns.iter().any(|c| c.name == name));
        let missing = missing.unwrap_or("x");
        return Err(unfit(format!("its {what} have no property {missing}; they have {}", names.join(", "))));
    };
    let positions: Vec<[f64; 3]> =
        (0..positions[0].values.len()).map(|i| positions.map(|column| column.values[i])).collect();
    let colors = COLORS.into_iter().find_map(own).or_else(|| arrays(&COLOR_ARRAYS).find_map(find));
    let packed = columns.iter().find(|column| column.packed);
    let (colors, unit) = if let Some(colors) = colors {
        let unit = colors[0].unit();
        if colors.iter().any(|column| column.unit() != unit) {
            return Err(unfit(format!("red, green and blue of its {what} have different types")));
        }
        ((0..positions.len()).map(|i| colors.map(|column| column.values[i] as f32)).collect(), unit)
    } else if let Some(packed) = packed {
        let bytes = |&value: &f64| [16, 8, 0].map(|shift| ((value as u32 >> shift) & 255) as f32);
        (packed.values.iter().map(bytes).collect(), ColorUnit::Byte)
    } else if let Some(splat) = own(SPLAT) {
        // The constant term of the spherical harmonics (Kerbl et al., 3D Gaussian Splatting, 2023).
        let light = |f: f64| (0.5 + 0.282_094_791_773_878_14 * f).clamp(0.0, 1.0) as f32;
        (
            (0..positions.len()).map(|i| splat.map(|column| light(column.values[i]))).collect(),
            ColorUnit::Guess,
        )
    } else {
        (vec![], ColorUnit::Guess)
    };
    let uncolored = colors.is_empty().then(|| {
        elsewhere.unwrap_or_else(|| {
            format!(
                "its {what} have no property red and no colour of another name; they have {}. The method needs colours: \
                 give the points some",
                names.join(", ")
            )
        })
    });
    let intensities = columns.iter().find(|column| INTENSITIES.contains(&&column.name[..]));
    let intensities = intensities.map_or(vec![], |column| brightness(&column.values));
    let cloud = PointCloud::checked(positions, colors, unit, path)?;
    Ok(PointCloud { intensities, uncolored, ..cloud })
}

/// Intensities have no unit: from the smallest to the largest, as 0 to 1.
pub(super) fn brightness(values: &[f64]) -> Vec<f32> {
    let finite = || values.iter().copied().filter(|v| v.is_finite());
    let (low, high) = finite().fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(v), high.max(v)));
    let scale = |v: f64| if high > low { (v - low) / (high - low) } else { 0.5 };
    values.iter().map(|&v| if v.is_finite() { scale(v) as f32 } else { f32::NAN }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(names: &[(&str, Scalar)], row: &[&str]) -> Result<PointCloud, String> {
        let mut columns = vec![];
        for (&(name, scalar), word) in names.iter().zip(row) {
            let mut column = Column::wanted(name, scalar).expect(name);
            assert!(column.push_word(word), "{word}");
            columns.push(column);
        }
        cloud(columns, "rows", &[], None, Path::new("a")).map_err(|e| e.to_string())
    }

    #[test]
    fn colours_have_many_names() {
        use Scalar::*;
        let xyz = [("X", F64), ("y", F64), ("Z", F64)];
        for names in [
            "Red green BLUE",
            "r G b",
            "diffuse_red diffuse_green diffuse_blue",
            "rgb:0 rgb:1 rgb:2",
            "Colors:0 Colors:1 Colors:2",
        ] {
            let rgb: Vec<_> = names.split(' ').map(|name| (name, U8)).collect();
            let cloud = read(&[&xyz[..], &rgb].concat(), &["1", "2", "3", "255", "0.0", "51"]).unwrap();
            assert_eq!(
                (cloud.positions, cloud.colors),
                (vec![[1.0, 2.0, 3.0]], vec![[1.0, 0.0, 0.2]]),
                "{names}"
            );
        }
        let splat = [("f_dc_0", F32), ("f_dc_1", F32), ("f_dc_2", F32)];
        let cloud = read(&[&xyz[..], &splat].concat(), &["1", "2", "3", "0", "9", "-9"]).unwrap();
        assert_eq!(cloud.colors, [[0.5, 1.0, 0.0]]);
        // 0xff0033 as integer, as the float of these bits, with alpha, and with a sign.
        for (name, scalar, word) in [
            ("rgb", F32, "16711731"),
            ("rgb", F32, "2.341812298650944e-38"),
            ("rgba", U32, "4294901811"),
            ("rgba", I32, "-65485"),
        ] {
            let cloud = read(&[&xyz[..], &[(name, scalar)]].concat(), &["1", "2", "3", word]).unwrap();
            assert_eq!(cloud.colors, [[1.0, 0.0, 0.2]], "{word}");
        }
        let mut signed = Column::wanted("rgba", I32).unwrap();
        signed.push(&(-65485i32).to_le_bytes(), false);
        assert_eq!(signed.values, [4294901811.0]);
        assert!(Column::wanted("opacity", F32).is_none());
    }

    #[test]
    fn what_is_missing_or_twice_is_said() {
        use Scalar::F32;
        let xyz = [("x", F32), ("y", F32), ("z", F32)];
        let cloud = read(&[&xyz[..], &[("scalar_Intensity", F32)]].concat(), &["1", "2", "3", "7"]).unwrap();
        assert!(cloud.colors.is_empty() && cloud.uncolored.unwrap().contains("no property red"));
        assert_eq!(cloud.intensities, [0.5]);
        assert!(read(&xyz[..2], &["1", "2"]).unwrap_err().contains("no property z"));
        assert!(
            read(&[xyz[0], xyz[1], xyz[2], ("X", F32)], &["1"; 4])
                .unwrap_err()
                .contains("two columns named x")
        );
    }

    #[test]
    fn words_of_old_compilers_are_numbers() {
        for word in ["nan", "-nan(ind)", "1.#QNAN", "-1.#IND", "nan(0x8)"] {
            assert!(number(word).unwrap().is_nan(), "{word}");
        }
        assert_eq!(number("1.#INF"), Some(f64::INFINITY));
        assert_eq!(number("0,5"), None);
    }
}
