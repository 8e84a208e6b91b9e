//! The files that a mesh's file names.

use crate::{
    error::{Error, Result},
    io::budget::{self, Budget},
};
use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{GeneralPurpose, GeneralPurposeConfig},
};
use std::{
    fs,
    path::{Component, Path, PathBuf},
};

/// Reads a file that another names by a relative path; it must lie in the other's folder or below.
///
/// # Errors
/// In words that name both: if the path leads elsewhere, or the file cannot be read.
pub(super) fn read(of: &Path, name: &str) -> Result<Vec<u8>, String> {
    let path = place(of, name)?;
    match fs::metadata(&path) {
        Ok(found) if !found.is_file() => Err(format!("{name} is not a file")),
        _ => budget::read_all(&path).map_err(|e| match e {
            Error::Io { source, .. } => format!("{name}: {source}"),
            other => other.to_string(),
        }),
    }
}

fn place(of: &Path, name: &str) -> Result<PathBuf, String> {
    let elsewhere =
        || format!("{name} leads out of the mesh's folder; put the file beside the mesh and name it alone");
    if name.contains("://") || name.contains('\0') {
        return Err(elsewhere());
    }
    // Windows' programs write `textures\wood.png`.
    let relative = PathBuf::from(name.replace('\\', "/"));
    let inside = relative.components().all(|step| matches!(step, Component::Normal(_) | Component::CurDir));
    let drive = name.as_bytes().get(1) == Some(&b':');
    if !inside || drive || relative.as_os_str().is_empty() {
        return Err(elsewhere());
    }
    let folder = of.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let path = spelled(folder, &relative);
    // A link may lead elsewhere.
    if let (Ok(folder), Ok(file)) = (folder.canonicalize(), path.canonicalize())
        && !file.starts_with(folder)
    {
        return Err(elsewhere());
    }
    Ok(path)
}

/// The path; where it does not exist, one that differs from it in upper and lower case alone.
fn spelled(folder: &Path, relative: &Path) -> PathBuf {
    let exact = folder.join(relative);
    if exact.exists() {
        return exact;
    }
    let mut path = folder.to_path_buf();
    for step in relative.components() {
        let wanted = step.as_os_str().to_string_lossy().to_lowercase();
        let mut names: Vec<_> = fs::read_dir(&path)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.file_name())
            .filter(|name| name.to_string_lossy().to_lowercase() == wanted)
            .collect();
        names.sort();
        path.push(names.into_iter().next().unwrap_or(step.as_os_str().to_os_string()));
    }
    path
}

/// The bytes of a `data:` URI; None if it is none.
pub(super) fn data(uri: &str) -> Option<Result<Vec<u8>, String>> {
    let (kind, content) = uri.strip_prefix("data:")?.split_once(',')?;
    let lenient = GeneralPurposeConfig::new()
        .with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    let decode = || GeneralPurpose::new(&STANDARD, lenient).decode(content.trim_ascii());
    Some(match kind.ends_with(";base64") {
        true => decode().map_err(|e| format!("a data URI is no base64: {e}")),
        false => Err("a data URI is not in base64".into()),
    })
}

/// A URI's path: `%20` is a space.
pub(super) fn unescaped(uri: &str) -> String {
    let bytes = uri.as_bytes();
    let mut path = vec![];
    let mut i = 0;
    while i < bytes.len() {
        let code = (bytes[i] == b'%').then(|| uri.get(i + 1..i + 3)).flatten();
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => {
                path.push(byte);
                i += 3;
            }
            None => {
                path.push(bytes[i]);
                i += 1;
            }
        }
    }
    String::from_utf8_lossy(&path).into_owned()
}

/// The content of the mesh's own file, if there is memory for a mesh of `growth` times its length.
pub(super) fn whole(path: &Path, growth: usize) -> Result<Vec<u8>> {
    let (file, _) = budget::open(path)?;
    let content = budget::read_all_opened(file.into_inner(), path)?;
    let room = Budget::of_memory().take(content.len(), growth);
    room.map_err(|what| Error::format(path, format!("the mesh {what}")))?;
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lies_in_the_folder_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("mesh");
        fs::create_dir_all(folder.join("Textures")).unwrap();
        fs::write(dir.path().join("secret.png"), b"secret").unwrap();
        fs::write(folder.join("Textures/My Wood.png"), b"wood").unwrap();
        let mesh = folder.join("a.obj");
        for name in ["Textures/My Wood.png", "Textures\\My Wood.png", "./textures/my wood.PNG"] {
            assert_eq!(read(&mesh, name).unwrap(), b"wood", "{name}");
        }
        for name in
            ["../secret.png", "Textures/../../secret.png", "/etc/passwd", "C:\\a.png", "http://a/b.png", ""]
        {
            assert!(read(&mesh, name).unwrap_err().contains("leads out"), "{name}");
        }
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(dir.path().join("secret.png"), folder.join("link.png")).unwrap();
            assert!(read(&mesh, "link.png").unwrap_err().contains("leads out"));
        }
        assert!(read(&mesh, "none.png").unwrap_err().starts_with("none.png: "));
        assert_eq!(unescaped("my%20wood%2.png"), "my wood%2.png");
        assert_eq!(data("data:application/octet-stream;base64,AQI=").unwrap().unwrap(), [1, 2]);
        assert!(data("data:text/plain,a").unwrap().is_err() && data("a.bin").is_none());
    }
}
