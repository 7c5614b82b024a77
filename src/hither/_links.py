"""The Link field (RFC 8288 §3)."""

from __future__ import annotations

from ._patterns import pattern

_LINK = pattern(r"<([^>]*)>((?:[^,\"]|\"(?:[^\"\\]|\\.)*\")*)")
_QUOTED_PAIR = pattern(r"\\(.)")
_PARAMETER = pattern(r";\s*([^\s=;,\"]+)\s*(?:=\s*(?:\"((?:[^\"\\]|\\.)*)\"|([^\s;,\"]*)))?")


def parse_links(value: str) -> dict[str, dict[str, str]]:
    """Return the links of a Link field by relation type, or by target where none is given.

    >>> parse_links('</page/2>; rel="next", </page/9>; rel=last; title="a, b"')["last"]
    {'url': '/page/9', 'rel': 'last', 'title': 'a, b'}
    """
    links: dict[str, dict[str, str]] = {}
    for target, rest in _LINK.findall(value):
        link = {"url": target.strip()}
        for name, quoted, plain in _PARAMETER.findall(rest):
            # RFC 8288 §3.3: a second `rel` is ignored; the same is done for the rest.
            link.setdefault(name.lower(), _QUOTED_PAIR.sub(r"\1", quoted) or plain)
        for relation in link.get("rel", "").split() or [link["url"]]:
            links.setdefault(relation, link)
    return links
