use super::*;

fn read(text: &str) -> Result<(Settings, Writing)> {
    parse(Path::new("run.toml"), text)
}

fn flags(list: &[&str]) -> Settings {
    let command = Flags::augment_args(Command::new("t").no_binary_name(true));
    let matches = command.try_get_matches_from(list).unwrap();
    Flags::from_arg_matches(&matches).unwrap().settings
}

#[test]
fn a_file_says_what_flags_say() {
    let (file, writing) = read(
        "model = ['a.toml', 'b']\nmethod = 'fkc-guidance'\nbeta = -2\nsde = 'zeta:0.5'\nparticles = 10\n\
         steps = 3\nschedule = 've:sigma_min=0.1'\nsigma-max = 9\nt-max = 1.0\nt-min = 0.25\n\
         grid = 'edm-rho'\nrule = 'left'\nno-weights = true\nresample = 'ess:0.25'\nscheme = 'systematic'\n\
         groups = 2\nblock = 64\nfinal = 'resample'\nseed = 7\nlangevin = '2:0.25'\ntemper = 0.5\npartial = 0.25\nquantile = 0.9\ncentre = true\nclamp = 2\ndevice = 'cpu:2'\nno-roots = true\ngenealogy = true\ntails = true\nunfused = true\npaths = true\nrefine = 3\n\
         no-graph = true\nstate = 'f16'\nsteps-per-launch = 4\ncompute = 'bf16'\nclass = [3, 5]\nexponent = [1.5, -0.5]\n\
         weight = [2, 3]\nbeta-from = 0.5\nexponent-from = [1, 2]\nreward = 'r.toml'\nreward-scale = 2\n\
         reward-growth = 'linear'\nreward-drift = 1.5\n\
         task = 'linear'\noperator = 'o.safetensors'\nnoise = 0.3\ntwist-variance = 'tau:0.5'\n\
         twist-scale = 2\ntwist-lean = 0\nproposal-variance = 1.5\nchain = 'posterior'\n\
         twist-range = '-1:1'\nproposal = 'replacement'\n\
         output = 'o'\nno-picture = true\njson = false",
    )
    .unwrap();
    let same = flags(&[
        "--model=a.toml",
        "--model=b",
        "--method=fkc-guidance",
        "--beta",
        "-2",
        "--sde=zeta:0.5",
        "--particles=10",
        "--steps=3",
        "--schedule=ve:sigma_min=0.1",
        "--sigma-max=9",
        "--t-max=1",
        "--t-min=0.25",
        "--grid=edm-rho",
        "--rule=left",
        "--no-weights",
        "--resample=ess:0.25",
        "--scheme=systematic",
        "--groups=2",
        "--block=64",
        "--final=resample",
        "--seed=7",
        "--langevin=2:0.25",
        "--temper=0.5",
        "--partial=0.25",
        "--quantile=0.9",
        "--centre",
        "--clamp=2",
        "--device=cpu:2",
        "--no-roots",
        "--genealogy",
        "--tails",
        "--paths",
        "--refine=3",
        "--unfused",
        "--state=f16",
        "--no-graph",
        "--steps-per-launch=4",
        "--compute=bf16",
        "--class=3",
        "--class=5",
        "--exponent=1.5",
        "--exponent=-0.5",
        "--weight=2",
        "--weight=3",
        "--beta-from=0.5",
        "--exponent-from=1",
        "--exponent-from=2",
        "--reward=r.toml",
        "--reward-scale=2",
        "--reward-growth=linear",
        "--reward-drift=1.5",
        "--task=linear",
        "--operator=o.safetensors",
        "--noise=0.3",
        "--twist-variance=tau:0.5",
        "--twist-scale=2",
        "--twist-lean=0",
        "--proposal-variance=1.5",
        "--chain=posterior",
        "--twist-range=-1:1",
        "--proposal=replacement",
    ]);
    assert_eq!(file, same);
    assert_eq!(writing, Writing { output: Some("o".into()), no_picture: true, json: false });
    assert_eq!(read("").unwrap(), Default::default());
}

#[test]
fn flags_win_over_the_file() {
    let (file, writing) = read("model = 'a'\nbeta = 2\nsteps = 5\nno-weights = true\noutput = 'o'").unwrap();
    let merged = flags(&["--model", "b", "--steps", "9", "--seed", "4"]).over(file);
    let wanted = Settings {
        model: vec!["b".into()],
        beta: Some(2.0),
        steps: Some(9),
        seed: Some(4),
        no_weights: true,
        ..Default::default()
    };
    assert_eq!(merged, wanted);
    let mine = Writing { output: Some("mine".into()), ..Default::default() };
    assert_eq!(mine.over(writing).output, Some("mine".into()));
}

#[test]
fn what_a_file_cannot_say_is_named() {
    for (text, message) in [
        ("steps = 0.5", "steps: found 0.5, wanted a whole number, at least 0"),
        ("steps = -5", "steps: found -5, wanted a whole number, at least 0"),
        ("steps = []", "steps: found a list of 0, wanted one value"),
        ("beta = 'x'", "beta: found \"x\", wanted a number"),
        ("no-weights = 1", "no-weights: found 1, wanted true or false"),
        ("model = [1, [2]]", "model: found a list of 2, wanted a list of values"),
        ("device = 'tpu'", "device: found \"tpu\", wanted auto, cpu[:threads], wgpu[:index] or cuda[:index]"),
        (
            "langevin = 'x'",
            "langevin: found \"x\", wanted M or M:c: moves, and their size above 0 and below 2",
        ),
        ("compute = 'f8'", "compute: found \"f8\", wanted one of auto, f32, f16, bf16"),
        ("rule = 'mid'", "rule: found \"mid\", wanted one of left, right, trap, exact"),
        ("schedule = 'edm:c=1'", "schedule: found \"edm:c=1\", wanted only constants that it has"),
        ("a = 1\nb = ", "line 2: found "),
        ("help = true", "key help: found a key that is not known, wanted one of model, class, method"),
        ("sigma_min = 1", "key sigma_min: found a key that is not known, wanted one of model, class"),
        ("config = 'x'", "key config: found a key that is not known"),
    ] {
        let error = read(text).unwrap_err();
        assert!(error.to_string().starts_with(&format!("run.toml: {message}")), "{error}");
        assert_eq!(error.exit_code(), 2);
    }
}
