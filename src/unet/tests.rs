//! What is refused, and how it is told; which files of a folder are taken.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::golden::folder;
use super::*;
use crate::weights::tests::Folder;

/// A copy of a folder that diffusers made, to be spoilt.
fn copy(of: &str, name: &str) -> Folder {
    let to = Folder::new(name);
    for entry in fs::read_dir(folder(of)).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::copy(&path, to.0.join(path.file_name().unwrap())).unwrap();
        }
    }
    to
}

fn refused(path: &Path) -> String {
    load(path).expect_err("it is spoilt").to_string()
}

/// Refused, and these are said.
fn says(path: &Path, parts: &[&str]) {
    let message = refused(path);
    assert!(parts.iter().all(|part| message.contains(part)), "{message}\nwanted {parts:?}");
}

/// A tensor of a file: its type, its shape, its bytes.
type Stored = (String, Vec<usize>, Vec<u8>);

/// Rewrites a safetensors file after `change` was made to its tensors.
fn rewrite(file: &Path, change: impl FnOnce(&mut Vec<(String, Stored)>)) {
    let bytes = fs::read(file).unwrap();
    let start = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: Map<String, Value> = serde_json::from_slice(&bytes[8..start]).unwrap();
    let mut all = Vec::new();
    for (name, about) in header.into_iter().filter(|(name, _)| name != "__metadata__") {
        let list = |key: &str| -> Vec<usize> { serde_json::from_value(about[key].clone()).unwrap() };
        let at = list("data_offsets");
        let data = bytes[start + at[0]..start + at[1]].to_vec();
        all.push((name, (about["dtype"].as_str().unwrap().to_string(), list("shape"), data)));
    }
    change(&mut all);
    let (mut header, mut data) = (Map::new(), Vec::new());
    for (name, (dtype, shape, bytes)) in all {
        let offsets = [data.len(), data.len() + bytes.len()];
        header.insert(name, json!({"dtype": dtype, "shape": shape, "data_offsets": offsets}));
        data.extend(bytes);
    }
    let header = serde_json::to_vec(&header).unwrap();
    fs::write(file, [&(header.len() as u64).to_le_bytes(), &header[..], &data[..]].concat()).unwrap();
}

fn of<'a>(all: &'a mut [(String, Stored)], name: &str) -> &'a mut Stored {
    &mut all.iter_mut().find(|(n, _)| n == name).expect("a tensor of the file").1
}

#[test]
fn tensors_that_do_not_fit_their_configuration_are_named() {
    let spoilt = copy("old-names", "unet-tensors");
    let file = spoilt.0.join("diffusion_pytorch_model.safetensors");
    let sound = fs::read(&file).unwrap();
    rewrite(&file, |_| {});
    assert!(load(&spoilt.0).is_ok(), "{}", refused(&spoilt.0));
    let linear = "time_embedding.linear_1.weight";
    type Change = fn(&mut Vec<(String, Stored)>);
    let changes: [(Change, &[&str]); 6] = [
        (
            |all| of(all, "time_embedding.linear_1.weight").1.reverse(),
            &[linear, "found shape [16, 32], wanted shape [32, 16]"],
        ),
        (
            |all| {
                let bias = of(all, "conv_in.bias");
                *bias = ("F8_E4M3".to_string(), bias.1.clone(), vec![0; 8]);
            },
            &["tensor conv_in.bias: found type F8_E4M3, wanted type F32, F64, F16 or BF16"],
        ),
        (
            |all| of(all, "conv_out.bias").2[..4].copy_from_slice(&f32::NAN.to_le_bytes()),
            &["tensor conv_out.bias: found NaN at index 0"],
        ),
        (
            |all| all.retain(|(name, _)| name != "mid_block.attentions.0.query.bias"),
            &["1 missing (mid_block.attentions.0.to_q.bias [16])", "wanted exactly the"],
        ),
        (
            |all| all.push(("extra".to_string(), ("F32".to_string(), vec![0], Vec::new()))),
            &["tensors: found 1 too many (extra)"],
        ),
        (
            // both names of one tensor
            |all| {
                let twice = of(all, "mid_block.attentions.0.query.bias").clone();
                all.push(("mid_block.attentions.0.to_q.bias".to_string(), twice));
            },
            &["1 too many (mid_block.attentions.0.query.bias)"],
        ),
    ];
    for (change, parts) in changes {
        fs::write(&file, &sound).unwrap();
        rewrite(&file, change);
        says(&spoilt.0, parts);
        says(&spoilt.0, &["diffusion_pytorch_model.safetensors: "]);
    }
    for length in [0, 7, 100, sound.len() / 2, sound.len() - 1] {
        fs::write(&file, &sound[..length]).unwrap();
        says(&spoilt.0, &["diffusion_pytorch_model.safetensors: ", ": found "]);
    }
}

#[test]
fn folders_without_what_they_need_are_refused() {
    let spoilt = copy("shards", "unet-folders");
    let index = spoilt.0.join("diffusion_pytorch_model.safetensors.index.json");
    assert!(load(&index).is_ok(), "an index by its own name");
    let shard = spoilt.0.join("diffusion_pytorch_model-00002-of-00004.safetensors");
    let away = spoilt.0.join("away");
    fs::rename(&shard, &away).unwrap();
    says(&spoilt.0, &["index.json: shards: found one missing", "-00002-of-00004.safetensors, which holds"]);
    fs::rename(&away, &shard).unwrap();

    // a shard that lacks what the index says it has
    let whole = fs::read(&shard).unwrap();
    let mut gone = String::new();
    rewrite(&shard, |all| gone = all.remove(0).0);
    says(&spoilt.0, &["-00002-of-00004.safetensors: tensor", &gone, "no such tensor"]);
    fs::write(&shard, &whole).unwrap();

    let list = fs::read_to_string(&index).unwrap();
    fs::write(&index, list.replace("diffusion_pytorch_model-00001", "../diffusion_pytorch_model-00001"))
        .unwrap();
    says(&spoilt.0, &["weight_map.", "../diff", "wanted the name of a file in the same folder"]);
    fs::write(&index, "{}").unwrap();
    says(&spoilt.0, &["weight_map: found no such object"]);

    // no weights but a pickle, and no weights at all
    fs::remove_file(&index).unwrap();
    let pickle = spoilt.0.join("diffusion_pytorch_model.bin");
    fs::write(&pickle, b"\x80\x02").unwrap();
    for path in [&spoilt.0, &pickle] {
        says(
            path,
            &["found a Python pickle", "wanted safetensors: python -c 'import sys, torch;", "weights_only"],
        );
    }
    fs::remove_file(&pickle).unwrap();
    says(&spoilt.0, &["weights: found none, wanted one of diffusion_pytorch_model.safetensors, "]);
    fs::remove_file(spoilt.0.join("config.json")).unwrap();
    says(&spoilt.0, &["the configuration: found none, wanted", "config.json, which describes the network"]);
    says(&spoilt.0.join("nowhere"), &["config.json: cannot read it"]);
}

#[test]
fn configurations_that_cannot_be_run_are_refused_by_name() {
    let text = fs::read_to_string(folder("half").join("config.json")).unwrap();
    let sound: Value = serde_json::from_str(&text).unwrap();
    let parse = |key: &str, value: Value| {
        let mut config = sound.clone();
        config[key] = value;
        let file = Path::new("config.json");
        UnetConfig::parse(file, &config.to_string())
            .and_then(|(config, warnings)| build::layout(file, &config).map(|_| warnings))
    };
    for (key, value, message) in [
        ("_class_name", json!("UNet2DConditionModel"), "wanted one of \"UNet2DModel\""),
        (
            "down_block_types",
            json!(["DownBlock2D", "AttnSkipDownBlock2D", "DownBlock2D"]),
            "down_block_types[1]: found \"AttnSkipDownBlock2D\", wanted DownBlock2D or AttnDownBlock2D",
        ),
        ("up_block_types", json!(["UpBlock2D"]), "up_block_types: found [\"UpBlock2D\"], wanted 3 types"),
        ("block_out_channels", json!([8, 8, 0]), "block_out_channels: found [8,8,0]"),
        ("block_out_channels", json!([]), "block_out_channels: found []"),
        ("act_fn", json!("mish"), "act_fn: found \"mish\", wanted silu or swish"),
        ("downsample_type", json!("resnet"), "downsample_type: found \"resnet\", wanted conv"),
        ("time_embedding_type", json!("learned"), "wanted positional or fourier"),
        ("resnet_time_scale_shift", json!("spatial"), "wanted one of \"default\", \"scale_shift\""),
        ("class_embed_type", json!("timestep"), "class_embed_type: found \"timestep\", wanted null"),
        ("sample_size", json!(18), "sample_size: found 18, wanted one or two multiples of 4"),
        ("sample_size", json!(null), "sample_size: found null"),
        ("downsample_padding", json!(2), "downsample_padding: found 2, wanted 0 or 1"),
        ("norm_num_groups", json!(3), "down_blocks.0.resnets.0.norm1: groups of a norm: found 3"),
        ("attention_head_dim", json!(3), "attention_head_dim: found 3, wanted a divisor of the 8 channels"),
        ("norm_eps", json!(0), "norm_eps: found 0, wanted a number above 0"),
        ("freq_shift", json!(2), "freq_shift: found 2, wanted 0 to 1"),
    ] {
        let error = parse(key, value).unwrap_err().to_string();
        assert!(error.contains(message) && error.starts_with("config.json: "), "{error}");
    }
    assert!(UnetConfig::parse(Path::new("config.json"), "[]").is_err());
    assert_eq!(parse("novel", json!(1)).unwrap(), ["config.json: the key novel is not known, and ignored"]);
    assert_eq!(parse("sample_size", json!([8, 12])).unwrap(), [""; 0]);
    assert_eq!(parse("mid_block_type", json!(null)).unwrap(), [""; 0]);
}

#[test]
fn schedulers_that_mean_no_score_are_refused_or_warned_of() {
    let parse = |text: &str| Scheduler::parse(Path::new("s.json"), &text.replace('\'', "\""));
    for (text, message) in [
        ("{}", "_class_name: found no such key"),
        ("{'_class_name': 'KarrasVeScheduler'}", "_class_name: found \"KarrasVeScheduler\", wanted one of"),
        ("{'_class_name': 'DDPMScheduler', 'beta_schedule': 'exp'}", "beta_schedule: found \"exp\""),
        ("{'_class_name': 'DDPMScheduler', 'prediction_type': 'flow'}", "prediction_type: found \"flow\""),
        ("{'_class_name': 'DDPMScheduler', 'beta_end': 1.5}", "beta of training step 666: found 1.00"),
        ("{'_class_name': 'DDPMScheduler', 'trained_betas': []}", "trained_betas: found an empty list"),
        ("{'_class_name': 'DDPMScheduler', 'trained_betas': ['x']}", "trained_betas: found [\"x\"]"),
        ("{'_class_name': 'DDIMScheduler', 'rescale_betas_zero_snr': true}", "rescale_betas_zero_snr"),
        (
            "{'_class_name': 'UniPCMultistepScheduler', 'use_flow_sigmas': true}",
            "use_flow_sigmas: found true",
        ),
        (
            "{'_class_name': 'EulerDiscreteScheduler', 'prediction_type': 'v_prediction',
              'timestep_type': 'continuous'}",
            "timestep_type: found \"continuous\", wanted \"discrete\" with v_prediction",
        ),
        ("{'_class_name': 'LMSDiscreteScheduler', 'use_karras_sigmas': 1}", "use_karras_sigmas: found 1"),
        ("{'_class_name': 'ScoreSdeVeScheduler', 'sigma_max': 0.001}", "sigma_max of the ve schedule"),
        ("{'_class_name': 'EDMEulerScheduler', 'prediction_type': 'sample'}", "prediction_type"),
        ("{'_class_name': 'EDMEulerScheduler', 'sigma_data': 0}", "sigma_data"),
    ] {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.starts_with("s.json: ") && error.contains(message), "{error}");
    }
    let (clipped, warnings) = parse("{'_class_name': 'DDIMScheduler', 'clip_sample': true}").unwrap();
    assert_eq!(warnings, ["s.json: clip_sample is not done: a prediction that was cut is no score"]);
    let (euler, _) = parse("{'_class_name': 'EulerDiscreteScheduler'}").unwrap();
    assert_eq!((clipped.spacing, euler.spacing), (Spacing::Leading, Spacing::Linspace));
    assert!(clipped.timesteps(0).is_err() && clipped.timesteps(1001).is_err());
    let (trained, _) = parse("{'_class_name': 'DDPMScheduler', 'trained_betas': [0.1, 0.5]}").unwrap();
    let kept = [0.9f64, 0.45].map(|a| ((1.0 - a) / a).sqrt().ln());
    let Timestep::Table(table) = &trained.timestep else { panic!("a table") };
    assert!(table.iter().zip(kept).all(|(l, k)| (l - k).abs() < 1e-14), "{table:?}, {kept:?}");
    // Where betas are not said, Heun's first is another one.
    for (class, beta) in [("LMSDiscreteScheduler", 1e-4), ("HeunDiscreteScheduler", 0.00085f64)] {
        let (usual, _) = parse(&format!("{{'_class_name': '{class}'}}")).unwrap();
        assert!((usual.range.1 - 0.5 * (beta / (1.0 - beta)).ln()).abs() < 1e-12, "{class}");
    }
    let (ve, _) = parse("{'_class_name': 'ScoreSdeVeScheduler'}").unwrap();
    assert!((ve.time_at(3.0f64.ln()).unwrap() - 3.0).abs() < 1e-14);
    let c = ve.score_coeffs(3.0f64.ln());
    assert_eq!((c.input, c.x, c.out), (1.0, 0.0, 1.0));
}

#[test]
fn what_a_scheduler_does_and_we_do_not_is_warned_of() {
    let warnings = |class: &str, more: &str| {
        let text = format!("{{'_class_name': '{class}Scheduler'{more}}}").replace('\'', "\"");
        Scheduler::parse(Path::new("s.json"), &text).unwrap().1
    };
    let cut = "is not done: a prediction that was cut is no score";
    let placed = "is not done: levels are a run's own, or those of timestep_spacing";
    // diffusers 0.42.1 clips by default in these three; Heun knows the key, and does not.
    for class in ["DDPM", "DDIM", "DDPMParallel"] {
        assert_eq!(warnings(class, ""), [format!("s.json: clip_sample, true unless said, {cut}")]);
        assert_eq!(warnings(class, ", 'clip_sample': true"), [format!("s.json: clip_sample {cut}")]);
        for no in ["false", "null"] {
            assert_eq!(warnings(class, &format!(", 'clip_sample': {no}")), [""; 0]);
        }
    }
    for class in ["HeunDiscrete", "EulerDiscrete", "PNDM", "DPMSolverMultistep", "ScoreSdeVe", "EDMEuler"] {
        assert_eq!(warnings(class, ""), [""; 0], "{class}");
    }
    assert_eq!(warnings("UniPCMultistep", ", 'thresholding': true"), [format!("s.json: thresholding {cut}")]);
    for key in ["use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "use_lu_lambdas"] {
        assert_eq!(
            warnings("DPMSolverMultistep", &format!(", '{key}': true")),
            [format!("s.json: {key} {placed}")]
        );
        assert_eq!(warnings("DPMSolverMultistep", &format!(", '{key}': false")), [""; 0]);
    }
    let log = warnings("EulerDiscrete", ", 'interpolation_type': 'log_linear'");
    assert_eq!(log, [format!("s.json: interpolation_type log_linear {placed}")]);
    let clipped = warnings("DPMSolverSinglestep", ", 'lambda_min_clipped': -5.1");
    assert_eq!(clipped, [format!("s.json: lambda_min_clipped {placed}")]);
    // As diffusers writes it, which is not JSON.
    assert_eq!(
        warnings("DPMSolverSinglestep", ", 'lambda_min_clipped': -Infinity, 'thresholding': false"),
        [""; 0]
    );
    // A network of noise is shown training steps all the same.
    assert_eq!(warnings("EulerDiscrete", ", 'timestep_type': 'continuous'"), [""; 0]);
}

#[test]
fn questions_that_a_network_cannot_answer_are_refused() {
    let (net, _) = load(&folder("shards")).unwrap();
    let x = vec![0.1; 192];
    let refused = |x: &[f64], time, class| net.forward(x, time, class).unwrap_err().to_string();
    assert_eq!(refused(&x[1..], 1.0, Some(0)), "length of the state: found 191, wanted that of [3, 8, 8]");
    assert_eq!(refused(&x, f64::NAN, Some(0)), "time of the network: found NaN, wanted a finite number");
    assert_eq!(refused(&x, 1.0, None), "class of the network: found none, wanted 0 to 4");
    assert_eq!(refused(&x, 1.0, Some(5)), "class of the network: found 5, wanted 0 to 4");
    assert!(net.vjp(&x, 1.0, Some(0), &x[1..]).unwrap_err().to_string().contains("length of the cotangent"));
    let (fourier, _) = load(&folder("old-names")).unwrap();
    let error = fourier.forward(&x, 0.0, None).unwrap_err().to_string();
    assert_eq!(error, "time of the network: found 0, wanted a finite number above 0");
    assert!(fourier.forward(&x, 1.0, Some(0)).unwrap_err().to_string().contains("it knows no classes"));
}

/// Tensors and numbers as diffusers counts them in networks of these builds, on its meta device.
#[test]
fn networks_of_full_size_have_as_many_numbers_as_in_diffusers() {
    for (size, channels, attention, tensors, numbers) in [
        (32, vec![128, 256, 256, 256], 1, 328, 35_746_307), // google/ddpm-cifar10-32
        (256, vec![128, 128, 256, 256, 512, 512], 4, 450, 113_673_219), // google/ddpm-celebahq-256
    ] {
        let types = |plain: &str, attentive: &str| -> Vec<String> {
            let name = |level| if level == attention { attentive } else { plain };
            (0..channels.len()).map(|level| name(level).to_string()).collect()
        };
        let mut up = types("UpBlock2D", "AttnUpBlock2D");
        up.reverse();
        let config = json!({
            "_class_name": "UNet2DModel", "sample_size": size, "block_out_channels": channels,
            "down_block_types": types("DownBlock2D", "AttnDownBlock2D"), "up_block_types": up,
            "downsample_padding": 0, "flip_sin_to_cos": false, "freq_shift": 1, "norm_eps": 1e-6,
            "attention_head_dim": null
        });
        let file = Path::new("config.json");
        let (config, warnings) = UnetConfig::parse(file, &config.to_string()).unwrap();
        assert_eq!(warnings, [""; 0]);
        let layout = build::layout(file, &config).unwrap();
        let count: usize = layout.tensors.iter().map(|(_, shape)| shape.iter().product::<usize>()).sum();
        assert_eq!((layout.tensors.len(), count), (tensors, numbers));
        let last = layout.layers.all().last().expect("a network has layers");
        assert_eq!(last.extent, config.extent(3));
    }
}
