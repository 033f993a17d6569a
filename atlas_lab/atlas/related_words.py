"""Words that people use for the same thing in computing: who asks for a folder finds what is said of directories."""

from __future__ import annotations

from collections.abc import Mapping

from .documents import terms_of

_GROUPS = """
adjacent consecutive neighbouring successive overlapping
append add extend insert
ask prompt
begin start
big large great
biggest largest maximum max
char letter character
check test verify
checksum hash digest
choose choice pick select
cleanup exit termination
combine combination product
convert transform turn
copy duplicate clone
create make build construct
dict dictionary mapping
directory folder dir
element item value entry member
end finish exit terminate stop
error exception
every each all
execute run
fallback default
fast quick
find search locate look
function callable
get return fetch retrieve
ignore suppress
join glue concatenate chain
keep store save
later delay after
length size long
list sequence iterable
memoize remember cache
memory size byte
missing absent default
number integer float numeric
order sort
output print stdout
parent intermediate
part piece
position index where
positive absolute
process program command executable
random arbitrary
remove delete erase unlink
replace swap substitute
server host
settings configuration config
show display print echo
small little
smallest lowest minimum min
split cut break divide
suffix extension
text string str
true truthy
undo decode reverse unquote
unique distinct identifier uuid
uppercase upper
url address
wait pause sleep block
web url internet http
whole entire recursive tree
"""


def related_words(groups: str = _GROUPS) -> Mapping[str, tuple[str, ...]]:
    """Return for each term those of the words on the same line.

    Examples
    --------
    >>> from atlas_lab.atlas.related_words import related_words
    >>> related_words()["folder"]
    ('directori', 'dir')
    """
    related: dict[str, tuple[str, ...]] = {}
    for line in groups.split("\n"):
        terms = dict.fromkeys(terms_of(line))
        for term in terms:
            others = tuple(other for other in terms if other != term)
            related[term] = tuple(dict.fromkeys(related.get(term, ()) + others))
    return related
