"""Which domains are public suffixes, like `com` and `co.uk`: nobody may set a cookie for all of them."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# Second-level labels that registries of country domains register below: co.uk, com.au, or.jp, gob.mx,
# gouv.fr. Only labels that are hardly ever a site's own name: "web" is not here because of web.de.
_REGISTRY_LABELS = frozenset(
    ("ac", "co", "com", "edu", "go", "gob", "gouv", "gov", "govt", "mil", "ne", "net", "or", "org", "sch")
)

# Hosts that hand out names below their own to anybody: the best known of the list's "private domains".
_SHARED_HOSTS = frozenset(
    (
        "appspot.com",
        "azurewebsites.net",
        "blogspot.com",
        "cloudapp.net",
        "cloudfront.net",
        "deno.dev",
        "duckdns.org",
        "firebaseapp.com",
        "fly.dev",
        "github.io",
        "gitlab.io",
        "glitch.me",
        "herokuapp.com",
        "myshopify.com",
        "netlify.app",
        "ngrok.app",
        "ngrok.io",
        "onrender.com",
        "pages.dev",
        "readthedocs.io",
        "run.app",
        "s3.amazonaws.com",
        "surge.sh",
        "uk.com",
        "us.com",
        "vercel.app",
        "web.app",
        "workers.dev",
    )
)

_decide: Callable[[str], bool] | None = None


def is_public_suffix(domain: str) -> bool:
    """Whether anybody may register names directly below `domain` (lower case, ASCII), so it is no one site's.

    Asks the Mozilla list when the package `publicsuffixlist` is installed (`pip install hither[psl]`), else a
    short built-in rule that knows top-level domains, the usual labels below country domains and the largest
    shared hosts.

    >>> is_public_suffix("com"), is_public_suffix("co.uk"), is_public_suffix("example.org")
    (True, True, False)
    """
    global _decide
    if _decide is None:
        _decide = _load_list()
    return _decide(domain)


def _load_list() -> Callable[[str], bool]:
    try:
        from publicsuffixlist import PublicSuffixList  # an extra, and a list of 10,000 rules
    except ImportError:
        return builtin_rule
    # A name of one label that the list does not know is a suffix by its default rule "*".
    listed = PublicSuffixList()

    def decide(domain: str) -> bool:
        return "." not in domain or bool(listed.is_public(domain))

    return decide


def builtin_rule(domain: str) -> bool:
    """The rule without the list: it errs towards one site's cookies being refused rather than shared.

    >>> builtin_rule("org.uk"), builtin_rule("github.io"), builtin_rule("python.org")
    (True, True, False)
    """
    above, dot, last = domain.rpartition(".")
    if not dot:
        return True
    if domain in _SHARED_HOSTS:
        return True
    return len(last) == 2 and above in _REGISTRY_LABELS
