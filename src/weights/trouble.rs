//! Says what is wrong with a file that is not a sound safetensors file.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::tensor::{SafeTensorError, TensorInfo};

use super::{shape_of, shown};
use crate::error::Error;

/// Other files that are taken for weights, by their first bytes.
const FOREIGN: [(&[u8], &str); 7] = [
    (b"PK\x03\x04", "a zip archive, perhaps a PyTorch checkpoint or an npz"),
    (b"\x80\x02", "a Python pickle"),
    (b"\x80\x04", "a Python pickle"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x89HDF\r\n", "an HDF5 file"),
    (b"GGUF", "a GGUF file"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file it points to"),
];

/// The error for `bytes`, which the safetensors crate refused.
pub(super) fn explain(path: &Path, bytes: &[u8], error: &SafeTensorError) -> Error {
    let error_of = |what: &str, found: String, wanted: &str| Error::weights(path, what, found, wanted);
    if let Some((_, kind)) = FOREIGN.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return error_of("the first bytes", kind.to_string(), "a safetensors file");
    }
    let header_len = bytes.first_chunk().map(|b| u64::from_le_bytes(*b)).unwrap_or(0);
    let header = usize::try_from(header_len).ok().and_then(|n| bytes.get(8..)?.get(..n)).unwrap_or_default();
    let file_len = bytes.len();
    match error {
        SafeTensorError::HeaderTooSmall => error_of(
            "length of the file",
            format!("{file_len} bytes"),
            "at least 8, the length of the header",
        ),
        SafeTensorError::HeaderTooLarge => error_of(
            "length of the header",
            format!("{header_len} bytes"),
            "at most 100000000; is it a safetensors file?",
        ),
        SafeTensorError::InvalidHeaderLength => error_of(
            "length of the header",
            format!("{header_len} bytes in a file of {file_len}"),
            "a header inside the file; is it whole?",
        ),
        SafeTensorError::InvalidHeader(_) => {
            error_of("header", "bytes that are not UTF-8".to_string(), "JSON text; is it a safetensors file?")
        }
        SafeTensorError::InvalidHeaderDeserialization(e) => error_of(
            "header",
            format!("text that is no header ({})", shown(&e.to_string())),
            "the JSON of a safetensors header",
        ),
        SafeTensorError::InvalidOffset(name) => error_of(
            &format!("tensor {}", shown(name)),
            format!("data at {}", offsets(header, name)),
            "data that starts where the tensor before it ends",
        ),
        SafeTensorError::MetadataIncompleteBuffer => {
            let ends = tensors(header).values().map(|t| t.data_offsets.1).max();
            let whole = ends.unwrap_or(0).saturating_add(8 + header.len());
            error_of(
                "length of the file",
                format!("{file_len} bytes"),
                &format!("{whole}, as the header says; is it whole?"),
            )
        }
        SafeTensorError::TensorInvalidInfo
        | SafeTensorError::ValidationOverflow
        | SafeTensorError::MisalignedSlice => match misfit(header) {
            Some((name, info)) => error_of(
                &format!("tensor {}", shown(&name)),
                format!(
                    "data at {:?} for {} of type {:?}",
                    info.data_offsets,
                    shape_of(&info.shape),
                    info.dtype
                ),
                "as many bytes as the shape needs",
            ),
            None => error_of(
                "header",
                "a tensor whose data do not fit its shape".to_string(),
                "as many bytes as the shape needs",
            ),
        },
        other => error_of("the file", shown(&other.to_string()), "a safetensors file"),
    }
}

/// The tensors of a header, as far as it can be read.
fn tensors(header: &[u8]) -> BTreeMap<String, TensorInfo> {
    let entries: BTreeMap<String, serde_json::Value> = serde_json::from_slice(header).unwrap_or_default();
    entries
        .into_iter()
        .filter_map(|(name, entry)| Some((name, serde_json::from_value(entry).ok()?)))
        .collect()
}

fn offsets(header: &[u8], name: &str) -> String {
    match tensors(header).get(name) {
        Some(info) => format!("{:?}", info.data_offsets),
        None => "unknown offsets".to_string(),
    }
}

/// The first tensor whose bytes are not what its shape and type need.
fn misfit(header: &[u8]) -> Option<(String, TensorInfo)> {
    tensors(header).into_iter().find(|(_, info)| {
        let bits = info.shape.iter().try_fold(info.dtype.bitsize(), |bits, n| bits.checked_mul(*n));
        let (start, end) = info.data_offsets;
        let bytes = end.checked_sub(start);
        bits.is_none() || bits != bytes.and_then(|b| b.checked_mul(8))
    })
}
