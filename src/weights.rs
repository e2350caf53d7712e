//! Safetensors files: named, shape-checked tensors in, samples out, and files written whole or not at all.
//!
//! Nothing in a file is trusted: the header is checked against the length of the file before a tensor is
//! looked at, every tensor against the shape and the type it must have, every weight for being finite.

mod save;
mod trouble;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use memmap2::Mmap;
pub use safetensors::Dtype;
use safetensors::SafeTensors;
use safetensors::tensor::{Metadata, TensorInfo};

use crate::error::{Error, Result};
pub use save::{Data, Tensor, save, write_atomically};

/// Files of at least this many bytes are mapped into memory; smaller ones are read whole, so that a small
/// file that shrinks while it is open can do no harm.
const MAP_FROM: u64 = 1 << 20;

/// An open safetensors file whose header has been checked.
#[derive(Debug)]
pub struct Weights {
    path: PathBuf,
    bytes: Bytes,
    data_start: usize,
    header: Metadata,
}

#[derive(Debug)]
enum Bytes {
    Read(Vec<u8>),
    Mapped(Mmap),
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Bytes::Read(bytes) => bytes,
            Bytes::Mapped(map) => map,
        }
    }
}

/// Maps an open file into memory.
#[allow(unsafe_code)]
fn map(file: &File) -> std::io::Result<Mmap> {
    // SAFETY: the map is read-only, private to `Weights`, and only ever read as plain bytes that are copied out
    // before use; no reference into it leaves this module. What cannot be ruled out is another process that
    // rewrites the file meanwhile (the weights are then wrong) or shortens it (reading past the end then ends
    // this process); that is the price of not copying large files, and small ones are not mapped.
    unsafe { Mmap::map(file) }
}

/// Opens a regular file for reading, and says how long it is. A pipe or a device is refused before it can
/// block or never end.
fn open_regular(path: &Path) -> Result<(File, u64)> {
    let about = fs::metadata(path).map_err(|e| Error::read(path, e))?;
    if !about.is_file() {
        let found = if about.is_dir() { "a folder" } else { "neither a file nor a folder" };
        return Err(Error::file(path, "the path", found, "a file"));
    }
    let file = File::open(path).map_err(|e| Error::read(path, e))?;
    Ok((file, about.len()))
}

/// The text of a file of at most `limit` bytes.
pub(crate) fn read_text(path: &Path, limit: u64) -> Result<String> {
    let (file, _) = open_regular(path)?;
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(|e| Error::read(path, e))?;
    if bytes.len() as u64 > limit {
        let wanted = format!("at most {limit}");
        return Err(Error::file(path, "length in bytes", "more", wanted));
    }
    String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        let found = format!("a byte at {at} that is not UTF-8");
        Error::file(path, "the text", found, "UTF-8")
    })
}

impl Weights {
    /// Opens a safetensors file and checks its header against its length.
    pub fn open(path: &Path) -> Result<Self> {
        let (file, length) = open_regular(path)?;
        let bytes = if length < MAP_FROM {
            let mut bytes = Vec::new();
            file.take(MAP_FROM).read_to_end(&mut bytes).map_err(|e| Error::read(path, e))?;
            Bytes::Read(bytes)
        } else {
            Bytes::Mapped(map(&file).map_err(|e| Error::read(path, e))?)
        };
        Self::checked(path, bytes)
    }

    /// The same for a file already in memory; `path` only names it in errors.
    pub fn from_bytes(path: &Path, bytes: Vec<u8>) -> Result<Self> {
        Self::checked(path, Bytes::Read(bytes))
    }

    fn checked(path: &Path, bytes: Bytes) -> Result<Self> {
        let (header_len, header) =
            SafeTensors::read_metadata(&bytes).map_err(|e| trouble::explain(path, &bytes, &e))?;
        Ok(Weights { path: path.to_path_buf(), data_start: 8 + header_len, bytes, header })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The names of the tensors, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.header.tensors().into_keys().collect();
        names.sort();
        names
    }

    /// The free text the file carries, by key.
    pub fn metadata(&self) -> BTreeMap<String, String> {
        self.header.metadata().clone().into_iter().flatten().collect()
    }

    /// Whether there is a tensor of this name.
    pub fn has(&self, name: &str) -> bool {
        self.header.info(name).is_some()
    }

    /// The shape of a tensor.
    pub fn shape(&self, name: &str) -> Result<&[usize]> {
        Ok(&self.info(name)?.shape)
    }

    /// The number type of a tensor, as stored.
    pub fn dtype(&self, name: &str) -> Result<Dtype> {
        Ok(self.info(name)?.dtype)
    }

    fn info(&self, name: &str) -> Result<&TensorInfo> {
        self.header.info(name).ok_or_else(|| {
            let found = format!("no such tensor among {}", self.header.tensors().len());
            self.bad(name, found, "one of this name")
        })
    }

    fn bad(&self, name: &str, found: impl ToString, wanted: impl ToString) -> Error {
        Error::weights(&self.path, format!("tensor {}", shown(name)), found.to_string(), wanted.to_string())
    }

    /// The bytes of a tensor; the header check made sure that they are there.
    fn data(&self, name: &str, info: &TensorInfo) -> Result<&[u8]> {
        let (start, end) = info.data_offsets;
        self.bytes
            .get(self.data_start..)
            .and_then(|data| data.get(start..end))
            .ok_or_else(|| self.bad(name, "fewer bytes than its shape needs", "all of them"))
    }

    /// A tensor of exactly this shape.
    fn shaped(&self, name: &str, want_shape: &[usize]) -> Result<&TensorInfo> {
        let info = self.info(name)?;
        if info.shape != want_shape {
            return Err(self.bad(name, shape_of(&info.shape), shape_of(want_shape)));
        }
        Ok(info)
    }

    /// Which values of a tensor of exactly this shape, row-major, are not 0: of BOOL, of integers, or as [`Weights::f32`].
    pub fn nonzero(&self, name: &str, want_shape: &[usize]) -> Result<Vec<bool>> {
        let info = self.shaped(name, want_shape)?;
        let size = match info.dtype {
            Dtype::BOOL | Dtype::U8 | Dtype::I8 => 1,
            Dtype::U16 | Dtype::I16 => 2,
            Dtype::U32 | Dtype::I32 => 4,
            Dtype::U64 | Dtype::I64 => 8,
            _ => return Ok(self.f32(name, want_shape)?.into_iter().map(|v| v != 0.0).collect()),
        };
        let data = self.data(name, info)?;
        Ok(data.chunks_exact(size).map(|value| value.iter().any(|byte| *byte != 0)).collect())
    }

    /// The values of a floating-point tensor of exactly this shape, row-major, as f32: F16 and BF16 are
    /// widened, F64 is rounded. Every value must be finite in f32.
    pub fn f32(&self, name: &str, want_shape: &[usize]) -> Result<Vec<f32>> {
        let info = self.shaped(name, want_shape)?;
        let data = self.data(name, info)?;
        let values: Vec<f32> = match info.dtype {
            Dtype::F32 => numbers(data, f32::from_le_bytes),
            Dtype::F64 => numbers(data, |b| f64::from_le_bytes(b) as f32),
            Dtype::F16 => numbers(data, |b| f16::from_le_bytes(b).to_f32()),
            Dtype::BF16 => numbers(data, |b| bf16::from_le_bytes(b).to_f32()),
            other => {
                let wanted = "type F32, F64, F16 or BF16";
                return Err(self.bad(name, format!("type {other:?}"), wanted));
            }
        };
        match values.iter().position(|v| !v.is_finite()) {
            None => Ok(values),
            Some(i) => {
                let found = format!("{} at index {i}", values[i]);
                Err(self.bad(name, found, "numbers that are finite in f32"))
            }
        }
    }

    /// The values of an F32 tensor, row-major, as they stand: finite or not.
    pub fn plain_f32(&self, name: &str) -> Result<Vec<f32>> {
        let info = self.info(name)?;
        match info.dtype {
            Dtype::F32 => Ok(numbers(self.data(name, info)?, f32::from_le_bytes)),
            other => Err(self.bad(name, format!("type {other:?}"), "type F32")),
        }
    }

    /// The values of an I32 or I64 tensor, row-major.
    pub fn i64(&self, name: &str) -> Result<Vec<i64>> {
        let info = self.info(name)?;
        let data = self.data(name, info)?;
        match info.dtype {
            Dtype::I32 => Ok(numbers(data, |b| i64::from(i32::from_le_bytes(b)))),
            Dtype::I64 => Ok(numbers(data, i64::from_le_bytes)),
            other => Err(self.bad(name, format!("type {other:?}"), "type I32 or I64")),
        }
    }

    /// The values of an I32 or I64 tensor, row-major; each must fit an i32.
    pub fn i32(&self, name: &str) -> Result<Vec<i32>> {
        let fit = |(i, v): (usize, i64)| {
            i32::try_from(v)
                .map_err(|_| self.bad(name, format!("{v} at index {i}"), "numbers that fit an i32"))
        };
        self.i64(name)?.into_iter().enumerate().map(fit).collect()
    }

    /// Checks that the file holds exactly these tensors with these shapes; the error lists the first ten that
    /// are missing, the first ten too many and the first ten of another shape.
    pub fn expect_exactly(&self, wanted: &[(String, Vec<usize>)]) -> Result<()> {
        let missing: Vec<String> = wanted
            .iter()
            .filter(|(name, _)| !self.has(name))
            .map(|(name, shape)| format!("{} {shape:?}", shown(name)))
            .collect();
        let known: BTreeSet<&str> = wanted.iter().map(|(name, _)| name.as_str()).collect();
        let extra: Vec<String> = self
            .names()
            .iter()
            .filter(|name| !known.contains(name.as_str()))
            .map(|name| shown(name))
            .collect();
        let misshapen: Vec<String> = wanted
            .iter()
            .filter_map(|(name, shape)| Some((name, shape, &self.header.info(name)?.shape)))
            .filter(|(_, shape, found)| shape != found)
            .map(|(name, shape, found)| {
                format!("{} {} instead of {shape:?}", shown(name), shown(&format!("{found:?}")))
            })
            .collect();
        let lists = [("missing", missing), ("too many", extra), ("of another shape", misshapen)];
        let found: Vec<String> = lists
            .iter()
            .filter(|(_, list)| !list.is_empty())
            .map(|(what, list)| {
                let more = if list.len() > 10 { ", …" } else { "" };
                let first = &list[..list.len().min(10)];
                format!("{} {what} ({}{more})", list.len(), first.join(", "))
            })
            .collect();
        if found.is_empty() {
            return Ok(());
        }
        let wanted = format!("exactly the {} of its configuration", wanted.len());
        Err(Error::weights(&self.path, "tensors", found.join("; "), wanted))
    }
}

/// Little-endian numbers of N bytes each.
fn numbers<const N: usize, T>(data: &[u8], from: impl Fn([u8; N]) -> T) -> Vec<T> {
    data.as_chunks().0.iter().map(|chunk| from(*chunk)).collect()
}

/// A shape from a file, fit for a message.
fn shape_of(shape: &[usize]) -> String {
    format!("shape {}", shown(&format!("{shape:?}")))
}

/// A name from a file, fit for a message: short and without control characters.
fn shown(name: &str) -> String {
    let mut short: String = name.chars().take(80).flat_map(char::escape_debug).collect();
    if name.chars().nth(80).is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
pub(crate) mod tests;
