//! Files of our own, of others, and damaged ones.

use super::*;

/// A folder of its own for one test, gone afterwards.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("feynkac-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("the temporary folder can be written");
        Folder(path)
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(&self.0)
            .expect("the folder is there")
            .map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(super) fn tensor<'a>(shape: &[usize], data: Data<'a>) -> Tensor<'a> {
    Tensor { shape: shape.to_vec(), data }
}

/// A file from a header text and data, lengths as they are.
pub(super) fn raw(header: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.extend_from_slice(data);
    bytes
}

pub(super) fn open(bytes: Vec<u8>) -> Result<Weights> {
    Weights::from_bytes(Path::new("w.safetensors"), bytes)
}

pub(super) fn message<T: std::fmt::Debug>(result: Result<T>) -> String {
    let error = result.expect_err("a bad file must be refused");
    assert_eq!(error.exit_code(), 2, "{error}");
    error.to_string()
}

#[test]
fn half_precision_is_widened_and_double_is_rounded() {
    let header = r#"{"h":{"dtype":"F16","shape":[2],"data_offsets":[0,4]},
        "b":{"dtype":"BF16","shape":[2],"data_offsets":[4,8]},
        "d":{"dtype":"F64","shape":[2],"data_offsets":[8,24]}}"#;
    let mut data = Vec::new();
    for v in [1.5, -0.25] {
        data.extend_from_slice(&f16::from_f64(v).to_le_bytes());
    }
    for v in [3.0, -1.0] {
        data.extend_from_slice(&bf16::from_f64(v).to_le_bytes());
    }
    for v in [0.1f64, 1e-3] {
        data.extend_from_slice(&v.to_le_bytes());
    }
    let w = open(raw(header, &data)).unwrap();
    assert_eq!(w.f32("h", &[2]).unwrap(), [1.5, -0.25]);
    assert_eq!(w.f32("b", &[2]).unwrap(), [3.0, -1.0]);
    assert_eq!(w.f32("d", &[2]).unwrap(), [0.1f32, 1e-3]);
}

#[test]
fn damaged_and_foreign_files_are_named_for_what_they_are() {
    let one = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
    let good = raw(one, &[0; 8]);
    assert!(open(good.clone()).is_ok());
    let t = |dtype: &str, shape: &str, at: &str| {
        format!(r#"{{"a":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{at}}}}}"#)
    };
    let two = |a: &str, b: &str| {
        format!(
            r#"{{"a":{{"dtype":"F32","shape":[1],"data_offsets":{a}}},"b":{{"dtype":"F32","shape":[1],"data_offsets":{b}}}}}"#
        )
    };
    for (bytes, wanted) in [
        (vec![], "length of the file: found 0 bytes, wanted at least 8"),
        (vec![1, 2, 3], "length of the file: found 3 bytes"),
        (good[..20].to_vec(), "length of the header: found 54 bytes in a file of 20"),
        (good[..good.len() - 1].to_vec(), "length of the file: found 69 bytes, wanted 70"),
        ([&good[..], &[0]].concat(), "length of the file: found 71 bytes, wanted 70"),
        (vec![255; 16], "length of the header: found 18446744073709551615 bytes, wanted at most"),
        (b"PK\x03\x04 and so on".to_vec(), "found a zip archive"),
        (b"version https://git-lfs.github.com/spec/v1".to_vec(), "found a Git LFS pointer"),
        (raw("{\"a\":", &[]), "header: found text that is no header"),
        (raw("[]", &[]), "header: found text that is no header"),
        ([&2u64.to_le_bytes()[..], &[0xff, 0xfe]].concat(), "header: found bytes that are not UTF-8"),
        (
            raw(&two("[0,4]", "[2,6]"), &[0; 6]),
            "tensor b: found data at (2, 6), wanted data that starts where",
        ),
        (raw(&two("[0,4]", "[5,9]"), &[0; 9]), "tensor b: found data at (5, 9)"),
        (raw(&t("F32", "[2]", "[8,0]"), &[0; 8]), "tensor a: found data at (8, 0)"),
        (raw(&t("F32", "[3]", "[0,8]"), &[0; 8]), "tensor a: found data at (0, 8) for shape [3] of type F32"),
        (raw(&t("F32", "[4294967296,4294967296]", "[0,8]"), &[0; 8]), "for shape [4294967296, 4294967296]"),
        (raw(&t("F99", "[2]", "[0,8]"), &[0; 8]), "header: found text that is no header"),
        (raw(&t("F32", "[-2]", "[0,8]"), &[0; 8]), "header: found text that is no header"),
    ] {
        let m = message(open(bytes));
        assert!(m.starts_with("w.safetensors: ") && m.contains(wanted), "{wanted:?} is not in {m:?}");
    }
}

#[test]
fn tensors_are_checked_for_name_shape_type_and_value() {
    let header = r#"{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,12]},
        "big":{"dtype":"F64","shape":[1],"data_offsets":[12,20]},
        "n":{"dtype":"I64","shape":[1],"data_offsets":[20,28]}}"#;
    let mut data: Vec<u8> = [1.0, 2.0, f32::NAN].iter().flat_map(|v| v.to_le_bytes()).collect();
    data.extend_from_slice(&1e300f64.to_le_bytes());
    data.extend_from_slice(&(1i64 << 40).to_le_bytes());
    let w = open(raw(header, &data)).unwrap();
    for (got, wanted) in [
        (message(w.f32("a", &[3])), "tensor a: found NaN at index 2, wanted numbers that are finite"),
        (message(w.f32("big", &[1])), "tensor big: found inf at index 0"),
        (message(w.f32("a", &[1, 3])), "tensor a: found shape [3], wanted shape [1, 3]"),
        (message(w.f32("n", &[1])), "tensor n: found type I64, wanted type F32, F64, F16 or BF16"),
        (message(w.i64("a")), "tensor a: found type F32, wanted type I32 or I64"),
        (message(w.i32("n")), "tensor n: found 1099511627776 at index 0"),
        (message(w.shape("b")), "tensor b: found no such tensor among 3"),
        (message(w.dtype("\u{1b}[31m")), "tensor \\u{1b}[31m: found no such"),
    ] {
        assert_eq!(got.strip_prefix("w.safetensors: ").map(|m| m.starts_with(wanted)), Some(true), "{got}");
    }
    assert_eq!(w.i64("n").unwrap(), [1 << 40]);
}

#[test]
fn expect_exactly_lists_what_differs() {
    let header = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},
        "b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}}"#;
    let w = open(raw(header, &[0; 12])).unwrap();
    let want = |list: &[(&str, &[usize])]| -> Vec<(String, Vec<usize>)> {
        list.iter().map(|(n, s)| (n.to_string(), s.to_vec())).collect()
    };
    assert!(w.expect_exactly(&want(&[("b", &[1]), ("a", &[2])])).is_ok());
    assert_eq!(
        message(w.expect_exactly(&want(&[("a", &[2, 1]), ("c", &[5]), ("d", &[])]))),
        "w.safetensors: tensors: found 2 missing (c [5], d []); 1 too many (b); \
         1 of another shape (a [2] instead of [2, 1]), wanted exactly the 3 of its configuration"
    );
    let many: Vec<(String, Vec<usize>)> = (0..12).map(|i| (format!("t{i:02}"), vec![1])).collect();
    let m = message(w.expect_exactly(&many));
    assert!(m.contains("12 missing (t00 [1], ") && m.contains("t09 [1], …)") && !m.contains("t10"), "{m}");
}

#[test]
fn large_files_are_mapped_and_read_the_same() {
    let folder = Folder::new("map");
    let path = folder.0.join("large.safetensors");
    let x: Vec<f32> = (0..300_000).map(|i| i as f32 * 0.5).collect();
    save(&path, &[("x".to_string(), tensor(&[300, 1000], Data::F32(&x)))], &BTreeMap::new()).unwrap();
    let w = Weights::open(&path).unwrap();
    assert!(matches!(w.bytes, Bytes::Mapped(_)));
    assert_eq!(w.f32("x", &[300, 1000]).unwrap(), x);
    let m = message(Weights::open(&folder.0));
    assert!(m.contains("found a folder, wanted a file"), "{m}");
    let m = message(Weights::open(&folder.0.join("none")));
    assert!(m.contains("none: cannot read it"), "{m}");
    #[cfg(unix)]
    assert!(message(Weights::open(Path::new("/dev/zero"))).contains("neither a file nor a folder"));
}
