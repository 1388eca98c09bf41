"""Tokens that mean nothing yet: checking the one a subject gets."""

from portraitist.bases.pipelines import Tokenizer
from portraitist.errors import BadConfig

# Single tokens of toyland's tokenizer that no caption holds; `sks` is one in CLIP's vocabulary as well
# (arXiv 2208.12242 asks for a rare token, so that the subject does not inherit a meaning).
RARE_TOKENS = ("sks", "olo", "zwx", "qyx", "ukj", "pfz", "xnq", "wvb", "jtk", "hxp")
_NAMED = 4


def count_tokens(tokenizer: Tokenizer, word: str) -> int:
    """Return how many tokens a word becomes, markers aside."""
    return len(tokenizer(word, add_special_tokens=False).input_ids)


def token_warning(tokenizer: Tokenizer, token: str) -> str | None:
    """Say that a word is several tokens, each of which means something already; None if it is one."""
    count = count_tokens(tokenizer, token)
    if count == 1:
        return None
    rare = [word for word in RARE_TOKENS if count_tokens(tokenizer, word) == 1]
    advice = f"; rare single tokens of this base: {', '.join(rare[:_NAMED])}" if rare else ""
    return f"the token {token!r} is split into {count} tokens{advice}"


def phrase_positions(tokenizer: Tokenizer, prompt: str, phrase: str) -> tuple[int, ...]:
    """Return where a phrase's tokens stand among a prompt's, markers counted, as attention maps number them.

    Raises:
        BadConfig: If the tokenizer's length leaves no room for it, or the prompt does not hold it.
    """
    prompt_ids = list(tokenizer(prompt, truncation=True).input_ids)
    wanted = list(tokenizer(phrase, add_special_tokens=False).input_ids)
    for start in range(len(prompt_ids) - len(wanted) + 1):
        if prompt_ids[start : start + len(wanted)] == wanted:
            return tuple(range(start, start + len(wanted)))
    raise BadConfig(
        f"{phrase!r} is not among the first {tokenizer.model_max_length} tokens of the prompt {prompt!r}; shorten it"
    )
