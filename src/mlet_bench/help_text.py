"""What --help prints: plain words and examples; the choices are read off the config folder."""

from pathlib import Path

WHAT = {
    "train": "train a model, collapse its embedding and judge it",
    "prepare": "turn raw files into a prepared Parquet folder",
    "evaluate": "judge a finished run on a split of its data, or on other data",
    "tune": "the same number of trials for every arm of a comparison (not built yet)",
    "report": "tables, figures and a page from finished runs",
    "bench": "samples/s, step time and share of the machine's peak (not built yet)",
}

TRAIN = """mlet-bench train [group=choice] [key=value] …

Trains a click-through-rate model, multiplies the factors of its embedding out, and evaluates AUC and logloss
overall and by how often an item occurred in training. The data set is prepared first if need be.

Choices:
{choices}

Keys people set:
  emb.dim=16           d, width of an embedding
  emb.inner=64         k, inner dimension of emb=mlet
  emb.lr=0.001         learning rate of the embeddings; null: train.lr
  emb.l2=0.0           strength of L2 on the embeddings
  train.epochs=1       train.batch_size=1024  train.lr=0.001
  train.optimizer=adam adam, sgd or rowwise_adagrad
  train.update=lazy    lazy: a step moves only the batch's rows; exact: as PyTorch's dense optimiser
  train.patience=4     evaluations without gain before training stops; train.plateau_factor=0.1 lowers the rate at each
  dataset.raw=PATH     raw file or folder         dataset.prepared=DIR  a prepared folder
  dataset.min_count=1  dataset.train_share=1.0    hardware.threads=2
  seed=1               rerun=true starts a finished run anew
  hydra.run.dir=DIR    where the run folder lies; default outputs/DATASET/MODEL/EMB/seedS-FINGERPRINT

Options:
  -m, --multirun       run every combination of the values given: emb.inner=16,32,64
  --cfg job            print the config and stop
  --config-dir DIR     a folder of your own configs, searched before the shipped ones

Examples:
  mlet-bench train model=dlrm emb=mlet emb.inner=64
  mlet-bench train dataset=criteo dataset.raw=train.txt emb=single
  mlet-bench train -m emb=mlet emb.inner=16,32,64 seed=1,2,3
  mlet-bench train experiment=quick

The same command finds its run again: finished, it is shown; stopped, it goes on. A value with = or spaces
needs quotes inside the shell's: 'dataset.raw="a=b.txt"'."""

PREPARE = """mlet-bench prepare dataset=NAME [dataset.raw=PATH] [key=value] …

Reads raw rows once and writes data/prepared/NAME-FINGERPRINT: Parquet parts of three splits, the vocabulary
with training counts, and a manifest. The same input and options find the same folder. MLET_BENCH_DATA
names another place than data/.

Data sets: {datasets}

Keys:
  dataset.raw=PATH       raw file, folder, or for several files a quoted glob
  dataset.min_count=1    categories rarer than this in the training split share one id
  dataset.train_share=1  share of the training rows to keep
  dataset.split=time     how rows are split, where the set leaves a choice; see --cfg job
  dataset.numeric_as=    log1p, bucket, standard or as_is
  dataset.bad_rows=stop  skip: set bad rows aside in bad_rows.jsonl, up to dataset.max_bad_share=0.01
  dataset.vocab=DIR      encode with the vocabulary of another prepared folder
  verify=true            check the md5 of every file of a folder that is there already
  hydra.run.dir=DIR      also write prepare.json, the folder and its manifest, there

Examples:
  mlet-bench prepare dataset=synthetic
  mlet-bench prepare dataset=criteo dataset.raw=train.txt dataset.min_count=10
  mlet-bench prepare dataset=criteo 'dataset.raw=day_*.gz' dataset.bad_rows=skip
  mlet-bench prepare dataset=table dataset.raw=rows.parquet dataset.label=bought dataset.numeric=[price]"""

EVALUATE = """mlet-bench evaluate run=DIR [split=test] [dataset.prepared=DIR]

Loads the collapsed model of a finished run and judges it on a whole split: AUC and logloss, overall and by how
often an item occurred in training. Writes evaluation.json and predictions.parquet.

Keys:
  run=DIR               folder of a finished run
  split=test            train, valid or test
  dataset.prepared=DIR  other data than the run's own, prepared with dataset.vocab=the run's prepared folder
  hydra.run.dir=DIR     where to write; default outputs/evaluations/RUN-SPLIT-DATA, by fingerprints

Examples:
  mlet-bench evaluate run=outputs/criteo/dlrm/mlet/seed1-0123456789ab split=valid
  mlet-bench prepare dataset=criteo dataset.raw=later.txt dataset.vocab=data/prepared/criteo-0123456789ab \\
    dataset.split=test
  mlet-bench evaluate run=outputs/criteo/dlrm/mlet/seed1-0123456789ab \\
    dataset.prepared=data/prepared/criteo-ba9876543210"""

REPORT = """mlet-bench report runs=DIR [key=value] …

Reads every run below a folder and sets single tables and MLET side by side: AUC and logloss over seeds with paired
differences, AUC against d and k, the gain by training count, the size ratio at equal quality, time and memory. Shows
tables here, and writes csv files, figures and one HTML page. Runs are only read; those that are unfinished, failed
or damaged are listed with the reason. The last line printed is the page's path.

Keys:
  runs=DIR              a folder of runs, at any depth; several: runs=[A,B]
  margin=0.0            AUC by which MLET may stay below the single table's on validation and count as equal
  dim=null              d_ref of the size ratio; null: the largest d of the single tables
  hydra.run.dir=DIR     where to write; default outputs/report

Examples:
  mlet-bench report runs=outputs
  mlet-bench report runs=[outputs/criteo,outputs/avazu] margin=0.0002
  mlet-bench report 'runs="my runs"' dim=16"""

LATER = """mlet-bench {command} {usage}

{what}.

Example:
  mlet-bench {command} {example}"""

USAGE = {
    "tune": ("[group=choice] [key=value] …", "model=dlrm trials=20"),
    "bench": ("[group=choice] [key=value] …", "model=dlrm emb=mlet emb.inner=64"),
}


def overview() -> str:
    """The help of mlet-bench itself."""
    commands = "\n".join(f"  {name:<9} {what}" for name, what in WHAT.items())
    return (
        "mlet-bench COMMAND [group=choice] [key=value] …\n\n"
        "Train, collapse and judge multi-layer embeddings (MLET) for click-through-rate models.\n\n"
        f"Commands:\n{commands}\n\n"
        "mlet-bench COMMAND --help tells more.\n\n"
        "Examples:\n"
        "  mlet-bench train model=dlrm emb=mlet emb.inner=64\n"
        "  mlet-bench train -m emb=mlet emb.inner=16,32,64"
    )


def of(command: str) -> str:
    """The help of one command."""
    if command == "train":
        groups = ("dataset", "model", "emb", "hardware", "train", "experiment")
        lines = [f"  {group:<11} {', '.join(choices(group))}" for group in groups]
        return TRAIN.format(choices="\n".join(lines))
    if command == "prepare":
        return PREPARE.format(datasets=", ".join(choices("dataset")))
    if command == "evaluate":
        return EVALUATE
    if command == "report":
        return REPORT
    usage, example = USAGE[command]
    what = WHAT[command][0].upper() + WHAT[command][1:]
    return LATER.format(command=command, usage=usage, what=what, example=example)


def choices(group: str) -> list[str]:
    """The shipped choices of a config group."""
    folder = shipped() / group
    return sorted(str(path.relative_to(folder).with_suffix("")) for path in folder.rglob("*.yaml"))


def shipped() -> Path:
    """The shipped conf/: inside an installed package, at the top of a checkout."""
    inside = Path(__file__).parent / "conf"
    return inside if inside.is_dir() else Path(__file__).parents[2] / "conf"
