"""Sequences: a model with a slot for any layer, tasks that distinguish layers, text, and truncated backpropagation."""

from rk import hookimpl

RK_TRIAL = {
    "intents-linear": ("data.batch_size=8", "data.train_limit=400", "model.buckets=64", "fit.monitor=null"),
    "intents-quick": ("data.batch_size=8", "data.train_limit=400", "model.d_model=16", "fit.monitor=null"),
    "vowels-linear": ("data.train_limit=60", "model.num_kernels=20"),
    "text-quick": ("data.batch_size=8", "data.train_limit=40000", "data.eval_length=64", "data.eval_limit=16"),
}


@hookimpl
def rk_models() -> dict[str, str]:
    return {
        "language-model": "rk_sequence.language_model:LanguageModel",
        "ngram-linear": "rk_sequence.ngram_linear:NgramLinear",
        "random-kernels": "rk_sequence.random_kernels:RandomKernels",
        "seq2seq-lstm": "rk_sequence.seq2seq_lstm:Seq2SeqLSTM",
        "seq2seq-prefix": "rk_sequence.seq2seq_prefix:Seq2SeqPrefix",
        "seq2seq-transformer": "rk_sequence.seq2seq_transformer:Seq2SeqTransformer",
        "sequence": "rk_sequence.model:SequenceModel",
    }


@hookimpl
def rk_layers() -> dict[str, str]:
    return {"attention": "rk_sequence.attention:Attention"}


@hookimpl
def rk_data() -> dict[str, str]:
    return {
        "adding": "rk_sequence.adding:Adding",
        "associative-recall": "rk_sequence.recall:AssociativeRecall",
        "copying": "rk_sequence.copying:Copying",
        "group-words": "rk_sequence.group_words:GroupWords",
        "hop-mix": "rk_sequence.hop_mix:HopMix",
        "labelled-sequences": "rk_sequence.labelled_sequences:LabelledSequences",
        "labelled-sounds": "rk_sequence.labelled_sounds:LabelledSounds",
        "labelled-text": "rk_sequence.labelled_text:LabelledText",
        "listops": "rk_sequence.listops:ListOps",
        "parity": "rk_sequence.parity:Parity",
        "prefix-lm": "rk_sequence.prefix_lm:PrefixLM",
        "reber": "rk_sequence.reber_next:Reber",
        "reber-strings": "rk_sequence.reber_strings:ReberStrings",
        "scheduled": "rk_sequence.scheduled:Scheduled",
        "sequential-mnist": "rk_sequence.sequential_mnist:SequentialMNIST",
        "temporal-order": "rk_sequence.temporal_order:TemporalOrder",
        "text": "rk_sequence.text:Text",
        "token-pairs": "rk_sequence.token_pairs:TokenPairs",
        "two-sided": "rk_sequence.two_sided:TwoSided",
    }


@hookimpl
def rk_trainers() -> dict[str, str]:
    return {
        "curriculum": "rk_sequence.curriculum:Curriculum",
        "ridge": "rk_sequence.ridge:Ridge",
        "tbptt": "rk_sequence.tbptt:TBPTT",
    }
