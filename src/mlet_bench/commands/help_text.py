"""What --help prints: plain words and examples; the choices are read from the config folder."""

import textwrap

from mlet_bench.errors import UserError, listing, nearest
from mlet_bench.system.shipped import shipped

WIDTH = 100
"""Columns of the help."""

WHAT = {
    "train": "train a model, collapse its embedding and evaluate it",
    "prepare": "turn raw files into a prepared Parquet folder",
    "evaluate": "evaluate a finished run on a split of its data, or on other data",
    "predict": "the probabilities of rows without labels, by a finished run's model",
    "export": "a finished run's model for serving: pt2, onnx or safetensors, checked before it is put in place",
    "tune": "the same number of trials for every configuration of a comparison, then the seeds",
    "report": "tables, figures and a page from finished runs",
    "runs": "a table of run folders, newest first",
    "bench": "samples/s, step time and share of the machine's peak",
}

TRAIN = """mlet-bench train [group=choice] [key=value] …

Trains a click-through-rate model, multiplies out the factors of its embedding, and evaluates AUC
and logloss, overall and by how often an item occurred in training. The data set is prepared first if
necessary.

Choices (--help GROUP lists a group):
{choices}

Common keys:
  emb.dim=16           d, width of an embedding            emb.inner=64  k, inner dimension of emb=mlet
  emb.lr=null          learning rate of the embeddings; null: train.lr          emb.l2=0.0  their L2
  train.epochs=1       train.batch_size=1024 train.lr=0.001 train.optimizer=adam (sgd, adagrad, …)
  train.update=lazy    a step moves only the batch's rows; exact: as PyTorch's dense optimiser
  train.patience=4     evaluations without improvement before training stops; train.plateau_factor=0.1
  train.spectra=true   spectra.jsonl: singular values, and real against predicted updates
  dataset.raw=PATH     raw file or folder                  dataset.prepared=DIR  a prepared folder
  dataset.min_count=1  dataset.train_share=1.0  dataset.group=null  AUC within this field too (GAUC)
  hardware.threads=2   seed=1  rerun=true (start again)    logger=tensorboard (mlflow)
  hardware.world=8x8   with hardware=torchrec plan=true: what that many GPUs would hold (docs/scale.md)
  hydra.run.dir=DIR    the run folder; default outputs/DATASET/MODEL/EMB/seedS-FINGERPRINT

Options:
  -m, --multirun       run every combination of the values given: emb.inner=16,32,64
  --cfg job            print the config and stop
  --config-dir DIR     a folder of your own configs, searched before the shipped ones

Examples:
  mlet-bench train model=dlrm emb=mlet emb.inner=64
  mlet-bench train dataset=criteo dataset.raw=train.txt emb=single
  mlet-bench train -m emb=mlet emb.inner=16,32,64 seed=1,2,3

The same command finds its run again: a finished run is shown, a stopped one resumes. A value with = or
spaces needs quotes inside the shell's: 'dataset.raw="a=b.txt"'."""

PREPARE = """mlet-bench prepare dataset=NAME [dataset.raw=PATH] [key=value] …

Reads raw rows once and writes data/prepared/NAME-FINGERPRINT: Parquet parts of three splits, the vocabulary
with training counts, and a manifest. The same input and options find the same folder. Set
MLET_BENCH_DATA to use another folder than data/.

Data sets: {datasets}

Keys:
  dataset.raw=PATH       raw file or folder, or a quoted glob for several files
  dataset.min_count=1    categories rarer than this in the training split share one id
  dataset.train_share=1  share of the training rows to keep
  dataset.split=time     how rows are split, where the data set leaves a choice; see --cfg job
  dataset.numeric_as=    log1p, bucket, standard or as_is
  dataset.bad_rows=stop  skip: set bad rows aside in bad_rows.jsonl, up to dataset.max_bad_share=0.01
  dataset.vocab=DIR      encode with the vocabulary of another prepared folder
  verify=true            check the md5 of every file of an existing folder
  hydra.run.dir=DIR      also write prepare.json (the folder and its manifest) there

Examples:
  mlet-bench prepare dataset=synthetic
  mlet-bench prepare dataset=criteo dataset.raw=train.txt dataset.min_count=10
  mlet-bench prepare dataset=criteo 'dataset.raw=day_*.gz' dataset.bad_rows=skip
  mlet-bench prepare dataset=table dataset.raw=rows.parquet dataset.label=bought dataset.numeric=[price]"""

EVALUATE = """mlet-bench evaluate run=DIR [split=test] [dataset.prepared=DIR]

Loads the collapsed model of a finished run and evaluates it on a whole split: AUC and logloss, overall and by how
often an item occurred in training. Writes evaluation.json and predictions.parquet.

Keys:
  run=DIR               folder of a finished run
  split=test            train, valid or test
  rank=4                first truncate each table to this rank by SVD: the quality of a wide table in a narrow one
  bits=8                each table as integers of 8 bits (2 to 8) and one scale, the one of least squared error
  dataset.prepared=DIR  other data than the run's own, prepared with dataset.vocab=the run's prepared folder
  dataset.group=FIELD   AUC within the categories of this field too (GAUC); default: as the run was trained
  hardware=cuda         or cpu, with hardware.threads=N; default: as in training, if this machine has that device
  hydra.run.dir=DIR     where to write; default outputs/evaluations/RUN-SPLIT-DATA, by fingerprints

Examples:
  mlet-bench evaluate run=outputs/criteo/dlrm/mlet/seed1-0123456789ab split=valid
  mlet-bench prepare dataset=criteo dataset.raw=later.txt dataset.vocab=data/prepared/criteo-0123456789ab \\
    dataset.split=test
  mlet-bench evaluate run=outputs/criteo/dlrm/mlet/seed1-0123456789ab \\
    dataset.prepared=data/prepared/criteo-ba9876543210"""

PREDICT = """mlet-bench predict run=DIR dataset.raw=FILE [key=value] …

Predicts rows, with or without labels, with the collapsed model of a finished run. The rows are read like the run's own
and encoded with its vocabulary; a category that is not in it counts as never seen. Writes predictions.parquet (or
.csv) with row number and probability, in the order of the rows, and predict.json.

Keys:
  run=DIR               folder of a finished run
  dataset.raw=FILE      the rows, in the format of the run's data set; a folder or a quoted glob where that takes one
  predict.keep=[id]     columns of the rows to write beside the probabilities
  predict.format=csv    default parquet
  dataset.prepared=DIR  the run's prepared folder, if it has moved
  hardware=cuda         or cpu, with hardware.threads=N; default: as in training, if this machine has that device
  hydra.run.dir=DIR     where to write; default outputs/predictions/RUN-ROWS, by fingerprints

Examples:
  mlet-bench predict run=outputs/criteo/dlrm/mlet/seed1-0123456789ab dataset.raw=test.txt
  mlet-bench predict run=outputs/avazu/dcn/single/seed1-0123456789ab dataset.raw=test.gz predict.keep=[id] \\
    predict.format=csv"""

EXPORT = """mlet-bench export run=DIR [key=value] …

Writes a finished run's collapsed model for use without this package: the model, the vocabulary and the
scaling of numeric columns, a model card and export.json. The written file is first run on the test
rows; if a logit differs by more than rounding, nothing is exported.

Keys:
  run=DIR                 folder of a finished run
  format=pt2              torch.export, for PyTorch; onnx: for onnxruntime; safetensors: the weights only
  bits=32                 8 or 4: tables as integers, which the exported model reads directly
  network_bits=32         8: the weights of MLPs as integers too
  dataset.prepared=null   the run's prepared folder, if it has moved
  hydra.run.dir=DIR       default outputs/exports/RUN-FORMAT-BITS

Examples:
  mlet-bench export run=outputs/synthetic/dlrm/mlet-d16-k64/seed1-0123456789ab
  mlet-bench export run=outputs/…/seed1-0123456789ab format=onnx bits=8"""

TUNE = """mlet-bench tune [group=choice] [key=value] …

Gives every configuration of a comparison (the standard embedding, emb=single, and MLET, for each d and k) the
same number of trials over learning rates and L2, chooses on validation only, and runs the chosen settings on
several seeds. Each trial is an ordinary run. Writes tune.json after each run, and ends with a table: the chosen
settings, test AUC and logloss, and paired differences from the standard embedding.

Keys:
  'arms=[emb=single,"emb=mlet emb.inner=64 emb.inner_std=0.25"]'
                              each configuration as overrides of emb, with any mode and key; or a grid:
  arms.dims=[4,16]            every d; default emb.dim
  arms.inner_per_dim=[1,4]    MLET with k = this times d; 1 is the control k = d
  arms.inner=[64]             MLET with this k; default emb.inner where arms.inner_per_dim is not given
  arms.frozen_per_dim=[4]     control: MLET whose W2 stays random, with k = this times d
  arms.single=true            the standard embedding for each d
  search.lr=[0.0003,0.01]     between these, on a logarithmic scale; a number: this value; null: the config's value
  search.emb_lr=[0.3,30]      in units of the trial's train.lr; search.emb_lr_as=absolute: as a rate
  search.emb_l2=[1e-5,0.1]    emb.l2; search.emb_l2_zero=0.2: a fifth of the trials without L2
  search.own_first=true       the first trial uses the config's own train.lr, emb.lr and emb.l2
  search.startup=10           trials that are the same for every configuration; the others are proposed by TPE
  trials=20                   trials per configuration, with seed=1
  seeds=[1,2,3]               seeds of the final runs
  hydra.run.dir=DIR           where to write tune.json; default outputs/tune/DATASET/MODEL/FINGERPRINT

All keys of train apply to every configuration: model=, dataset=, experiment=, train.epochs=1, emb.l2_on=product, …

Examples:
  mlet-bench tune experiment=quick trials=3 seeds=[1,2]
  mlet-bench tune model=dcn 'arms=[emb=single,"emb=mlet emb.inner=64"]' trials=10
  mlet-bench tune model=dcn arms.dims=[4,16] arms.inner_per_dim=[1,4] trials=20 seeds=[1,2,3,4,5]
  mlet-bench tune experiment=frappe_x1/dcn dataset.raw=frappe_x1 arms.dims=[4,10] search.emb_l2=[0.001,0.5]

The same command resumes where it stopped and repeats no finished run; with a larger trials= it adds trials."""
REPORT = """mlet-bench report runs=DIR [key=value] …

Reads every run below a folder and compares MLET with the standard embedding (emb=single): AUC and logloss over seeds,
paired differences, AUC against d and k, the gain by training count, the size ratio at equal quality, time and memory.
Shows tables here, and writes csv files, figures and one HTML page. Runs are never changed; unfinished, failed or
damaged ones are listed with the reason. The last line printed is the page's path.

Keys:
  runs=DIR              a folder of runs, at any depth; several: runs=[A,B]; a sweep's own folder: its runs and
                        their progress; a tune folder: that comparison alone
  margin=0.0            how far MLET's validation AUC may be below the standard embedding's and count as equal
  dim=null              d_ref of the size ratio; null: the largest d of the standard embedding
  hydra.run.dir=DIR     where to write; default outputs/report

Examples:
  mlet-bench report runs=outputs
  mlet-bench report runs=[outputs/criteo,outputs/avazu] margin=0.0002
  mlet-bench report 'runs="my runs"' dim=16"""

RUNS = """mlet-bench runs [DIR] [key=value] …

Lists every run below DIR (default outputs), newest first: data, model, embedding, seed, state, test AUC, when it was
last written to (UTC), and its folder. Runs are never changed.

Keys:
  model=dcn emb=mlet    runs with this model and embedding; any key of a run's config.yaml filters: dataset=criteo,
                        emb.dim=16, seed=1
  state=unfinished      finished, unfinished, failed or damaged

Examples:
  mlet-bench runs
  mlet-bench runs outputs model=dcn emb=mlet"""

BENCH = """mlet-bench bench [group=choice] [key=value] …

Times training steps on generated rows of Criteo's shape (26 fields, 13 numeric columns): the requested embedding and
the standard embedding (emb=single) of the same d, in turn, and the parts of a step. Writes bench.json.

Keys:
  model=dlrm             dcn, dlrm and autoint_plus in the sizes of conf/bench/, others in their default sizes
  emb=mlet emb.inner=64  emb.dim=16
  train.batch_size=4096  train.optimizer=adam   train.update=lazy
  categories=filtered    909,698; unfiltered: 33,762,577
  steps=50               timed steps of each embedding
  hardware.threads=2
  hydra.run.dir=DIR      where to write; default outputs/bench/MODEL-EMB

Examples:
  mlet-bench bench model=dcn emb=mlet emb.inner=64
  mlet-bench bench model=dlrm emb=mlet categories=unfiltered train.optimizer=rowwise_adagrad"""


def overview() -> str:
    """The help of mlet-bench itself."""
    commands = "\n".join(f"  {name:<9} {what}" for name, what in WHAT.items())
    return (
        "mlet-bench COMMAND [group=choice] [key=value] …\n\n"
        "Train, collapse and evaluate multi-layer embeddings (MLET) for click-through-rate models.\n\n"
        f"Commands:\n{commands}\n\n"
        "mlet-bench COMMAND --help tells you more.\n\n"
        "Examples:\n"
        "  mlet-bench train model=dlrm emb=mlet emb.inner=64\n"
        "  mlet-bench train -m emb=mlet emb.inner=16,32,64"
    )


GROUPS = ("dataset", "model", "emb", "hardware", "train", "experiment")
"""What `train` lets choose, in the order of the config."""


def of(command: str, group: str | None = None) -> str:
    """The help of one command, or of one of its config groups."""
    if group is not None:
        return _group(command, group)
    if command == "train":
        return TRAIN.format(choices="\n".join(_wrapped(group, _summary(group)) for group in GROUPS))
    if command == "prepare":
        return PREPARE.format(datasets=", ".join(choices("dataset")))
    return {
        "evaluate": EVALUATE,
        "predict": PREDICT,
        "export": EXPORT,
        "tune": TUNE,
        "report": REPORT,
        "runs": RUNS,
        "bench": BENCH,
    }[command]


def _group(command: str, group: str) -> str:
    """Every choice of a group, those of a folder on a line; UserError for a group that there is not."""
    if group not in GROUPS:
        raise UserError(f"--help {group}: no such group; allowed: {listing(GROUPS)}.{nearest(group, GROUPS)}")
    lines = [f"mlet-bench {command} {group}=CHOICE", ""]
    folders = _folders(group)
    width = max(len(folder) for folder in folders) + 4
    for folder, names in folders.items():
        lines.append(_wrapped(f"{folder}/" if folder else "", ", ".join(names), width if len(folders) > 1 else 2))
    return "\n".join([*lines, "", f"mlet-bench {command} --cfg job {group}=CHOICE shows what a choice sets."])


def _summary(group: str) -> str:
    """The choices of a group; of folders in it the number of theirs, so that the help fits a screen."""
    folders = _folders(group)
    named = [*folders.get("", []), *(f"{folder}/ ({len(names)})" for folder, names in folders.items() if folder)]
    return ", ".join(named) + (f"; --help {group} lists them" if len(folders) > 1 else "")


def _folders(group: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in choices(group):
        folder, _, leaf = name.rpartition("/")
        found.setdefault(folder, []).append(leaf)
    return dict(sorted(found.items()))


def _wrapped(name: str, text: str, width: int = 14) -> str:
    return textwrap.fill(f"  {name:<{width - 2}}{text}", WIDTH, subsequent_indent=" " * width)


def choices(group: str) -> list[str]:
    """The shipped choices of a config group."""
    folder = shipped() / group
    return sorted(str(path.relative_to(folder).with_suffix("")) for path in folder.rglob("*.yaml"))
