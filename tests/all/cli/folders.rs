//! Folders of diffusers that are not what they should be, told by every subcommand that opens one; and those that are.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::{Scratch, golden, root};

/// Copies a folder of the test data into the scratch folder.
pub fn copy(scratch: &Scratch, of: &str, to: &str) {
    let mut open = vec![(root().join("tests/data/diffusers").join(of), to.to_string())];
    while let Some((from, to)) = open.pop() {
        for entry in fs::read_dir(&from).expect("test data") {
            let path = entry.expect("an entry").path();
            let name = format!("{to}/{}", path.file_name().expect("a name").to_string_lossy());
            match path.is_dir() {
                true => open.push((path, name)),
                false => scratch.put(&name, fs::read(&path).expect("test data")),
            }
        }
    }
}

/// What a header says of a tensor, and its bytes.
type Stored = (String, Value, Vec<u8>);

/// Rewrites a safetensors file after `change` was made to one tensor.
fn rewrite(path: &Path, name: &str, change: impl FnOnce(&mut Value, &mut Vec<u8>)) {
    let bytes = fs::read(path).expect("a file");
    let start = 8 + u64::from_le_bytes(bytes[..8].try_into().expect("8 bytes")) as usize;
    let header: Map<String, Value> = serde_json::from_slice(&bytes[8..start]).expect("JSON");
    let at = |about: &Value, i: usize| start + about["data_offsets"][i].as_u64().expect("an offset") as usize;
    let tensors = header.into_iter().filter(|(name, _)| name != "__metadata__");
    let mut all: Vec<Stored> = tensors
        .map(|(name, about)| {
            let data = bytes[at(&about, 0)..at(&about, 1)].to_vec();
            (name, about, data)
        })
        .collect();
    let (_, about, data) = all.iter_mut().find(|(n, ..)| n == name).expect("a tensor of this name");
    change(about, data);
    let (mut header, mut data) = (Map::new(), Vec::new());
    for (name, mut about, bytes) in all {
        about["data_offsets"] = json!([data.len(), data.len() + bytes.len()]);
        header.insert(name, about);
        data.extend(bytes);
    }
    let header = serde_json::to_vec(&header).expect("JSON");
    fs::write(path, [&(header.len() as u64).to_le_bytes(), &header[..], &data[..]].concat()).expect("a file");
}

fn replace(scratch: &Scratch, file: &str, from: &str, to: &str) {
    let text = String::from_utf8(scratch.read(file)).expect("UTF-8");
    assert!(text.contains(from), "{text}");
    scratch.put(file, text.replacen(from, to, 1));
}

/// Every way a folder of the issue is bad: what, and its name.
fn spoil(scratch: &Scratch) -> Vec<(&'static str, &'static str)> {
    let remove = |file: &str| fs::remove_file(scratch.path(file)).expect("it was there");
    let weights = |folder: &str| format!("{folder}/diffusion_pytorch_model.safetensors");
    copy(scratch, "pipeline", "bare");
    remove("bare/unet/config.json");
    copy(scratch, "pipeline", "empty");
    fs::remove_dir_all(scratch.path("empty/unet")).expect("it was there");
    copy(scratch, "shards", "shard");
    remove("shard/diffusion_pytorch_model-00003-of-00004.safetensors");
    copy(scratch, "old-names", "short");
    let whole = scratch.read(&weights("short"));
    scratch.put(&weights("short"), &whole[..whole.len() - 100]);
    copy(scratch, "shards", "short-shard");
    let second = "short-shard/diffusion_pytorch_model-00002-of-00004.safetensors";
    let whole = scratch.read(second);
    scratch.put(second, &whole[..whole.len() / 2]);
    copy(scratch, "old-names", "turned");
    rewrite(&scratch.path(&weights("turned")), "time_embedding.linear_1.weight", |about, _| {
        about["shape"].as_array_mut().expect("a shape").reverse();
    });
    copy(scratch, "pipeline", "block");
    replace(scratch, "block/unet/config.json", "\"DownBlock2D\"", "\"SkipDownBlock2D\"");
    copy(scratch, "half", "class");
    replace(scratch, "class/config.json", "UNet2DModel", "UNet2DConditionModel");
    copy(scratch, "old-names", "f8");
    rewrite(&scratch.path(&weights("f8")), "conv_out.bias", |about, data| {
        about["dtype"] = json!("F8_E4M3");
        data.truncate(data.len() / 4);
    });
    copy(scratch, "old-names", "pickle");
    remove(&weights("pickle"));
    scratch.put("pickle/diffusion_pytorch_model.bin", b"\x80\x02}q\x00.");
    copy(scratch, "pipeline", "steps");
    replace(scratch, "steps/scheduler/scheduler_config.json", "DDPMScheduler", "KarrasVeScheduler");
    copy(scratch, "shards", "notes");
    scratch.put("notes/feynkac.json", "{\"null_class\": 5}");
    for name in ["weights.pt", "weights.ckpt"] {
        scratch.put(name, b"\x80\x02}q\x00.");
    }
    vec![
        ("no configuration", "bare"),
        ("a pipeline without its network", "empty"),
        ("a shard missing", "shard"),
        ("a file cut short", "short"),
        ("a shard cut short", "short-shard"),
        ("a tensor with rows and columns in each other's place", "turned"),
        ("an unknown block", "block"),
        ("an unknown network", "class"),
        ("numbers of 8 bits", "f8"),
        ("a pickle in a folder", "pickle"),
        ("a pickle", "weights.pt"),
        ("a checkpoint", "weights.ckpt"),
        ("an unknown scheduler", "steps"),
        ("a null class beyond the classes", "notes"),
        ("nothing at all", "nowhere"),
    ]
}

#[test]
fn bad_folders_are_refused_by_every_subcommand() {
    let scratch = Scratch::new("folders");
    let cases = spoil(&scratch);
    let input = root().join("tests/data/diffusers/old-names/golden.safetensors");
    fs::copy(input, scratch.path("in.safetensors")).expect("test data");
    let mut text = String::new();
    for (what, path) in cases {
        let told = |line: &str| {
            let ran = scratch.run(line);
            assert_eq!(ran.code, Some(2), "{what}: {ran:?}");
            assert!(!scratch.path("out").exists(), "{what}: something was written");
            ran
        };
        let eval = told(&format!("eval --model {path} --input in.safetensors --device cpu:1 -o out"));
        assert_eq!(eval.stdout, "", "{what}");
        text.push_str(&format!("# {what}\n{}\n\n", eval.stderr.trim_end()));
        // the others say the same
        for line in [
            format!("inspect {path}"),
            format!("sample --model {path} --method plain --device cpu:1 -o out"),
            format!("plan --model {path} --method plain --device cpu:1"),
        ] {
            let ran = told(&line);
            assert_eq!(ran.stderr, eval.stderr, "{what}: {line}");
        }
    }
    golden("refused-folders-of-diffusers", &text);
}

#[test]
fn a_dense_folder_with_a_pickle_is_refused() {
    let scratch = Scratch::new("pickled");
    let config = fs::read(root().join("weights/gmm40-mlp/config.json")).expect("shipped weights");
    scratch.put("net/config.json", config);
    scratch.put("net/model.pt", b"\x80\x02}q\x00.");
    for line in ["inspect net", "sample --model net --method plain --device cpu:1"] {
        let ran = scratch.run(line);
        assert_eq!(ran.code, Some(2), "{ran:?}");
        let wanted = "net/model.pt: kind of file: found a Python pickle, which is a program, wanted safetensors: python -c";
        assert!(ran.stderr.contains(wanted), "{}", ran.stderr);
    }
}

#[test]
fn folders_are_shown() {
    let scratch = Scratch::new("shown-folders");
    let mut text = String::new();
    for (of, folder) in [("pipeline", "pipeline"), ("shards", "shards"), ("half", "half")] {
        copy(&scratch, of, folder);
        if of == "shards" {
            scratch
                .put("shards/feynkac.json", "{\"null_class\": 4, \"data\": {\"mean\": -0.5, \"std\": 0.6}}");
        }
        let out = scratch.run(&format!("inspect {folder}")).fine();
        // what is used; the tensors and configurations before it are those of the files
        let used = out.find("used as").expect("a last part");
        assert!(out.contains("conv_in.weight") && out.contains("\"_class_name\": \"UNet2DModel\""), "{out}");
        text.push_str(&format!("$ feynkac inspect {folder}\n{}\n", &out[used..]));
    }
    golden("inspect-folders-of-diffusers", &text);
}
