"""Image encoders, metrics, protocols: how well generated pictures show their subject and follow their prompts."""

from portraitist.evaluation.candidates import Candidate, find_candidates
from portraitist.evaluation.encoders import Encoder, EncoderFacts, Preprocessing, load_encoder
from portraitist.evaluation.evaluating import Evaluation, sampling_config
from portraitist.evaluation.metrics import METRICS, MetricInputs, check_roles
from portraitist.evaluation.protocol import Protocol, list_protocols, load_protocol
from portraitist.evaluation.results import Comparison, Result, check_comparable, compare
from portraitist.evaluation.scoring import flatten, load_tools, score_set, score_subject, tool_facts

__all__ = [
    "METRICS",
    "Candidate",
    "Comparison",
    "Encoder",
    "EncoderFacts",
    "Evaluation",
    "MetricInputs",
    "Preprocessing",
    "Protocol",
    "Result",
    "check_comparable",
    "check_roles",
    "compare",
    "find_candidates",
    "flatten",
    "list_protocols",
    "load_encoder",
    "load_protocol",
    "load_tools",
    "sampling_config",
    "score_set",
    "score_subject",
    "tool_facts",
]
