"""Phrases and old names that the project does not use, each with what to write instead.

A phrase is a regular expression. A space in it matches any white space, a line break and the
start of the next comment line included; upper and lower case are the same. A name is matched as a
whole word, with its upper and lower case.
"""

PHRASES = {
    # Words that are not the field's
    r"(?<!os\.)(?<!ast\.)(?<![a-z])walk(s|ed|ing)?(?![a-z])": (
        "forward pass, backward pass, loop over time, iterate"
    ),
    r"(?<!random )(?<!line )(?<!-point )(?<!complex )(?<!import )\bnumbers\b(?!\.)": (
        "elements (of a tensor), values"
    ),
    r"\bbeside\b": "compared with, next to, in addition to",
    r"\btwins?\b": "counterpart",
    r"\bto the bit\b": "bit-exact",
    r"\bnamed (rightly|wrongly)\b": "classified correctly, classified wrongly",
    r"\b(goes|go|going|went|gone) on\b": "resume, continue",
    r"\b(break|breaks|breaking|broke|broken) off\b": "interrupted",
    r"\b(take|takes|taking|took|taken) up\b": "resume",
    r"\bthe truth\b": "the reference implementation",
    r"\bas (it|they) reads?\b": "unchanged",
    r"\bmay be \{?\d": "tolerance 1e-10",
    r"\bright of all\b": "results",
    r"\bmend(s|ed|ing)?\b": "fix",
    r"\bspoilt\b": "corrupt, invalidate",
    r"\blook(s|ed) at\b": "measures, logs, reads",
    # Personification: code computes, returns, raises, needs
    r"\bwants\b": "needs",
    r"(?<!connection )\brefus(e|es|ed|ing|al)\b(?! connections\b)": "raise, reject, validate",
    r"\b(says|said)\b": "states, prints, is called",
    r"\b(tells|told)\b": "reports, prints, states",
    r"\bknows\b": "stores, has, handles",
    r"(?<!user )\basks\b": "requests, calls, needs",
    r"\bspeaks?\b": "prints, mentions",
    # Old-fashioned or inverted English
    r"\bso many\b": "what the number means",
    r"(?<!there )\bis no\b(?! longer\b| more than\b| less than\b)": "is not a",
    r"\banew\b": "again",
    r"\bheed(s|ed|ing)?\b": "handle, take into account",
    r"\bshall\b": "must, will",
    r"\bwhoever\b": "the caller, the user",
    r"\bnought\b": "0",
    r"\bput right\b": "fix, clean up",
    r"\b(come|comes|coming|came) to\b": "is, amounts to",
    r"\bstands\b(?! for\b)": "is",
    r"\blies\b": "is",
    r"\b(can|cannot|not|to) be had\b": "is available",
    r"\bin the midst of\b": "during",
    r"\bwhole or not at all\b": "atomically",
    r"\b(nobody|somebody|anybody)\b": "no user, another user, any user",
    r"\bfor want of\b": "without",
    r"\b(whence|thereof|therein|wherein|thereby|whereby)\b": "from which, of it, in it, by which",
}

NAMES = {
    "by_hand": "bptt (the backend), or a name for what the variable holds",
    "unroll_by_hand": "TorchBackend, select_backend",
    "unroll_compiled": "CBackend, select_backend",
    "unroll_fused": "TritonBackend, select_backend",
    "Derivation": "CellKernel",
    "TanhByHand": "RNNTanhKernel",
    "Tape": "SequenceBuffers",
    "ThroughTime": "BPTTFunction",
    "through_time": "apply_bptt",
    "RESERVE": "BUFFER_POOL",
    "Reserve": "BufferPool",
    "FETCHED": "MIN_ROWS_OF_LARGE_WEIGHTS",
    "LITTLE_WORK": "MIN_PARALLEL_MULTIPLY_ADDS",
    "w_hh_back": "w_hh_for_backward",
    "LOOK_EVERY": "LOG_EVERY",
    "heeding_signals": "stop_on_signals",
    "kept_when_it_breaks_off": "checkpoint_on_interrupt",
    "sudden_interrupts": "exit_on_ctrl_c",
    "imports_uncollected": "gc_paused",
    "keep_freed_memory": "tune_malloc",
    "SettledConfig": "ResolvedConfig",
    "settled": "resolved",
    "of_run": "load",
    "put_back": "restore",
    "PROBED": "SATURATION_IMAGES",
    "WAYS": "BACKENDS",
    "EACH_WAY": "each_backend",
    "way_of": "backend_of",
    "imitate": "simulate",
    "working_in": "default_dtype",
}
