//! Writing: a file is there whole or not at all, and the same tensors give the same bytes.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use safetensors::tensor::{Dtype, View};

use super::shown;
use crate::error::{Error, Result};

/// The numbers of a tensor, row-major.
#[derive(Clone, Copy, Debug)]
pub enum Data<'a> {
    /// Single precision: samples.
    F32(&'a [f32]),
    /// Double precision: log-weights, evidence.
    F64(&'a [f64]),
    /// Signed integers: classes.
    I32(&'a [i32]),
    /// Unsigned integers: ancestors.
    U32(&'a [u32]),
}

/// A tensor to be written.
#[derive(Clone, Debug)]
pub struct Tensor<'a> {
    /// The sizes of its axes, slowest first.
    pub shape: Vec<usize>,
    /// As many numbers as the product of the sizes.
    pub data: Data<'a>,
}

impl Tensor<'_> {
    fn count(&self) -> usize {
        match self.data {
            Data::F32(v) => v.len(),
            Data::F64(v) => v.len(),
            Data::I32(v) => v.len(),
            Data::U32(v) => v.len(),
        }
    }
}

impl View for &Tensor<'_> {
    fn dtype(&self) -> Dtype {
        match self.data {
            Data::F32(_) => Dtype::F32,
            Data::F64(_) => Dtype::F64,
            Data::I32(_) => Dtype::I32,
            Data::U32(_) => Dtype::U32,
        }
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Owned(match self.data {
            Data::F32(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Data::F64(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Data::I32(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Data::U32(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
        })
    }

    fn data_len(&self) -> usize {
        let size = match self.data {
            Data::F64(_) => 8,
            Data::F32(_) | Data::I32(_) | Data::U32(_) => 4,
        };
        self.count() * size
    }
}

/// Writes a safetensors file with these named tensors and this free text, whole or not at all. The same
/// arguments always give the same bytes.
pub fn save(
    path: &Path,
    tensors: &[(String, Tensor<'_>)],
    metadata: &BTreeMap<String, String>,
) -> Result<()> {
    let mut names = BTreeSet::new();
    for (name, tensor) in tensors {
        let what = format!("tensor {} for {}", shown(name), path.display());
        if name == "__metadata__" || !names.insert(name) {
            let wanted = "a name of its own, other than __metadata__";
            return Err(Error::input(what, "a name that is taken", wanted));
        }
        let size = tensor.shape.iter().try_fold(1usize, |size, n| size.checked_mul(*n));
        if size != Some(tensor.count()) {
            let found = format!("{} numbers", tensor.count());
            let wanted = format!("as many as shape {:?} has", tensor.shape);
            return Err(Error::input(what, found, wanted));
        }
    }
    let views = tensors.iter().map(|(name, tensor)| (name, tensor));
    let bytes = safetensors::serialize(views, None).map_err(|e| {
        let found = shown(&e.to_string());
        Error::input(format!("tensors for {}", path.display()), found, "tensors")
    })?;
    write_atomically(path, &with_metadata(path, &bytes, metadata)?)
}

/// `bytes`, a safetensors file without free text, with the text put in front, in order. (The crate would
/// write it in the order of a hash map, which differs from run to run.)
fn with_metadata(path: &Path, bytes: &[u8], metadata: &BTreeMap<String, String>) -> Result<Vec<u8>> {
    if metadata.is_empty() {
        return Ok(bytes.to_vec());
    }
    let bad = |found: &str| {
        let what = format!("header for {}", path.display());
        Error::input(what, found, "a safetensors header")
    };
    let text = serde_json::to_string(metadata).map_err(|e| bad(&e.to_string()))?;
    let (old, data) = bytes
        .split_first_chunk()
        .and_then(|(n, rest)| {
            let n = usize::try_from(u64::from_le_bytes(*n)).ok()?;
            rest.split_at_checked(n)
        })
        .ok_or_else(|| bad("one that is cut short"))?;
    let entries =
        old.trim_ascii_end().strip_prefix(b"{").ok_or_else(|| bad("one that opens with no brace"))?;
    let mut header = format!("{{\"__metadata__\":{text}").into_bytes();
    if entries != b"}" {
        header.push(b',');
    }
    header.extend_from_slice(entries);
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut whole = (header.len() as u64).to_le_bytes().to_vec();
    whole.extend_from_slice(&header);
    whole.extend_from_slice(data);
    Ok(whole)
}

/// Writes a file so that other programs see the old one or the whole new one, and never a part of it: the
/// bytes go to a new file in the same folder, reach the disk, and then take the name. A link is followed.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let target = match fs::metadata(path) {
        Ok(about) if about.is_file() => fs::canonicalize(path).map_err(|e| Error::write(path, e))?,
        Ok(about) => {
            let found = if about.is_dir() { "a folder" } else { "a device or a pipe" };
            let wanted = "a new name or a file to replace";
            return Err(Error::input(format!("output {}", path.display()), found, wanted));
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => path.to_path_buf(),
        Err(e) => return Err(Error::write(path, e)),
    };
    if target.file_name().is_none() {
        let what = format!("output {:?}", path.display().to_string());
        return Err(Error::input(what, "no file name", "a file name"));
    }
    let folder = match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let (temporary, file) = create_beside(folder).map_err(|e| Error::write(path, e))?;
    let written = fill(file, bytes).and_then(|()| fs::rename(&temporary, &target));
    if let Err(e) = written {
        let _ = fs::remove_file(&temporary); // the first error is the one to tell
        return Err(Error::write(path, e));
    }
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all(); // not every file system can; the file itself is on the disk
    }
    Ok(())
}

fn fill(mut file: File, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes)?;
    file.sync_all()
}

/// A new file of a name that nobody has, in `folder`.
fn create_beside(folder: &Path) -> io::Result<(PathBuf, File)> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let mut tries = 0;
    loop {
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!(".feynkac-{}-{n}.tmp", std::process::id()));
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(file) => return Ok((path, file)),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && tries < 1000 => tries += 1,
            Err(e) => return Err(e),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Weights;
    use super::super::tests::{Folder, message, tensor};
    use super::*;

    #[test]
    fn what_is_saved_is_read_back_and_is_the_same_every_time() {
        let folder = Folder::new("save");
        let path = folder.0.join("a.safetensors");
        let tensors = [
            ("x".to_string(), tensor(&[2, 3], Data::F32(&[1.0, -2.5, 3.0, 4.0, 5.0, 1e-30]))),
            ("log_w".to_string(), tensor(&[2], Data::F64(&[-0.1, 0.25]))),
            ("class".to_string(), tensor(&[3], Data::I32(&[-1, 0, i32::MAX]))),
            ("ancestor".to_string(), tensor(&[1], Data::U32(&[7]))),
            ("none".to_string(), tensor(&[0, 4], Data::F32(&[]))),
        ];
        let metadata: BTreeMap<String, String> =
            (0..20).map(|i| (format!("k{i}"), format!("\"{i}\"\n"))).collect();
        save(&path, &tensors, &metadata).unwrap();
        let first = fs::read(&path).unwrap();
        for _ in 0..5 {
            save(&path, &tensors, &metadata).unwrap();
            assert_eq!(fs::read(&path).unwrap(), first);
        }
        assert_eq!(folder.names(), ["a.safetensors"]);

        let w = Weights::open(&path).unwrap();
        assert_eq!(w.names(), ["ancestor", "class", "log_w", "none", "x"]);
        assert_eq!(w.metadata(), metadata);
        assert_eq!(w.shape("x").unwrap(), [2, 3]);
        assert_eq!(w.dtype("log_w").unwrap(), Dtype::F64);
        assert_eq!(w.f32("x", &[2, 3]).unwrap(), [1.0, -2.5, 3.0, 4.0, 5.0, 1e-30]);
        assert_eq!(w.f32("log_w", &[2]).unwrap(), [-0.1, 0.25]);
        assert_eq!(w.f32("none", &[0, 4]).unwrap(), [0f32; 0]);
        assert_eq!(w.i32("class").unwrap(), [-1, 0, i32::MAX]);
        assert_eq!(w.i64("class").unwrap(), [-1, 0, i64::from(i32::MAX)]);

        // the same without free text, and without tensors
        save(&path, &tensors, &BTreeMap::new()).unwrap();
        assert_eq!(Weights::open(&path).unwrap().names().len(), 5);
        save(&path, &[], &metadata).unwrap();
        assert_eq!(Weights::open(&path).unwrap().metadata(), metadata);
    }

    #[test]
    fn tensors_that_are_not_what_they_say_are_not_saved() {
        let folder = Folder::new("refused");
        let path = folder.0.join("a.safetensors");
        let none = BTreeMap::new();
        for (list, wanted) in [
            (vec![("x", tensor(&[2], Data::F32(&[1.0])))], "as many as shape [2] has"),
            (vec![("x", tensor(&[usize::MAX, 2], Data::F32(&[])))], "as many as shape"),
            (
                vec![("x", tensor(&[1], Data::F32(&[1.0]))), ("x", tensor(&[1], Data::F32(&[1.0])))],
                "a name of its own",
            ),
            (vec![("__metadata__", tensor(&[1], Data::F32(&[1.0])))], "a name of its own"),
        ] {
            let list: Vec<(String, Tensor)> = list.into_iter().map(|(n, t)| (n.to_string(), t)).collect();
            let m = message(save(&path, &list, &none));
            assert!(m.contains(wanted) && m.contains("a.safetensors"), "{m}");
        }
        assert!(folder.names().is_empty());
    }

    #[test]
    fn writing_replaces_whole_files_and_leaves_nothing_behind() {
        let folder = Folder::new("atomic");
        let path = folder.0.join("out.bin");
        write_atomically(&path, b"one").unwrap();
        write_atomically(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");

        let gone = folder.0.join("no/such/folder/out.bin");
        let e = write_atomically(&gone, b"x").expect_err("no folder");
        assert!(e.to_string().contains("no/such/folder/out.bin: cannot write it"), "{e}");
        assert_eq!(e.exit_code(), 1);
        for bad in [folder.0.as_path(), Path::new("/"), Path::new(""), Path::new("/dev/null")] {
            assert!(write_atomically(bad, b"x").is_err(), "{}", bad.display());
        }
        assert_eq!(folder.names(), ["out.bin"]);

        #[cfg(unix)]
        {
            let link = folder.0.join("link");
            std::os::unix::fs::symlink(&path, &link).unwrap();
            write_atomically(&link, b"three").unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"three");
            assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        }
    }
}
