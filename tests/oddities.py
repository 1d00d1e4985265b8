"""Words that a command line may hold: numbers at the edges of types, Hydra's grammar bent, keys of nobody."""

SCALARS = [
    "", " ", "null", "nan", "inf", "-inf", "-0", "-0.0", "0", "-1", "1", "2", "0.5", "1e3", "1e400", "1e-400",
    "true", "false", "True", "yes", "NULL", "???", "None", "0x10", "1_000", "٣", "9" * 30, "-" + "9" * 30,
    str(2**31), str(2**63), str(2**63 - 1), str(2**64), "9007199254740993", "4096", "4097", "1" * 5_000,
]  # fmt: skip
ODD = [
    "a=b=c", "=", "==", "[", "]", "[]", "[1", "[1,2", "{", "{}", "{a:1}", "{a:{b:[1]}}", "[[1]]", "[null]",
    "[dlrm]", "'", '"', "'a", "'a'", '"a b"', "a b", "a\tb", "a\nb", "a\r", "\x00", "\x1b[2J", "\\", "\\'", "%",
    "#", ":", "a:b", "${seed}", "${nope}", "${", "${oc.env:HOME}", "${oc.env:MLET_NO_SUCH}", "${oc.decode:1}",
    "${now:%Y}", "${emb}", "${oc.create:{a:1}}", "${hydra:job.num}", "${emb.dim}", "${.dim}", "${..emb}", "$",
    "$seed", "`id`", "$(id)", "é", "名前", "\u202e", "🙂", "\udcff", "a" * 300, "a" * 20_000, "/" + "a" * 300, "../up",
    "/", ".", "~", "~nobody", "[" * 200, "{a:" * 100, "[" * 40 + "]" * 40, "1,2", "a,", ",", ",,", "choice(1)",
    "glob(*)", "range(1)", "int(1)", "str(", "int(x)", "float(1e999)", "bool(3)", "json_str(1)", "sort(3,1)",
    "shuffle(1,2)", "tag(a,1)", "extend_list(1)", "*", "?", "@", "!", "!!python/object/apply:os.system [id]", "&a",
    "*a", "<<", "---", "{_target_:os.system}", "[A,B]", "[1,10]", "[10,1]", "[0.1,0.2]", "[-1]", "[0.5,0.25,0.25]",
    "[1.0,0,0]", "../prep", "raw.txt", "missing",
]  # fmt: skip
SWEPT = [
    "1,2", "1,null", "range(1,4)", "range(4,1)", "range(1,3,0)", "range(0,1,0.25)", "range(0,1000000000)",
    "range(1)", "range(a,b)", "range(1,2,3,4)", "range(nan,1)", "range(0,inf)", "range(start=1)", "range(-1)",
    "choice(1,2)", "choice()", "choice(", "choice(a,[b])", "glob(*)", "glob([a,b])", "glob(*,exclude=s*)",
    "interval(0,1)", "shuffle(1,2)", "sort(2,1)", "tag(a,choice(1,2))", "1,2,", ",1", "[1],[2]", "'1,2'", "1,1",
    ",".join(map(str, range(150))), "shuffle(range(1,3))", "sort(range(3,1,-1))", "float(1,2)", "true,false",
]  # fmt: skip
KEYS_OF_NOBODY = [
    "", " ", ".", "..", "a.b.c", "hydra", "hydra.", "hydra.x", "hydra/launcher", "hydra/sweeper",
    "hydra/job_logging", "hydra.job.name", "hydra.job.chdir", "hydra.job.env_set.X", "hydra.mode", "hydra.verbose",
    "hydra.searchpath", "hydra.sweep.dir", "hydra.sweep.subdir", "hydra.output_subdir", "hydra.launcher.n_jobs",
    "hydra.launcher._target_", "hydra.callbacks.x", "hydra.sweeper.max_batch_size", "hydra.sweeper.params",
    "hydra.run", "hydra.runtime.cwd", "hydra.launcher.x._target_", "hydra.job_logging.root", "hydra.help.app_name",
    "hydra/env", "hydra.run.dir", "ключ", "emb[0]", "emb..dim", ".emb", "emb.", "emb@x", "emb@x:y",
    "model@model.inner", "@emb", "/emb", "dataset/x", "_target_", "_self_", "model._target_", "emb.dim.x", "seed.x",
    "defaults", "package", "a" * 3_000, "emb.dim ", "\x1b", "-x", "--x", "--config-name", "--config-dir", "-cp",
    "--cfg", "--resolve", "--package", "--info", "-cd", "-c", "-p", "--hydra-help", "--run", "-r", "--multirun",
    "--shell-completion", "-sc", "--experimental-rerun", "--version",
]  # fmt: skip
