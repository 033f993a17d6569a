"""Words that people use for the same thing in computing: who asks for a folder finds what is said of directories."""

from __future__ import annotations

from collections.abc import Mapping

from .terms import terms_of

_GROUPS = """
accurate exact precise precision
adjacent consecutive neighbouring successive overlapping
again repeat times
alike similar similarity
append add extend insert
ask prompt
ast tree
begin start
bell gaussian normal
big large great
biggest largest maximum max
bounded limited
byte octet
cancelled aborted interrupted
char letter character
check test verify
checksum hash digest
choose choice pick select
cleanup exit termination
combine combination product
combine merge unite
compress pack zip
concurrent parallel simultaneous
condition predicate
convert transform turn
copy duplicate clone
create make build construct
current present working
date datetime moment time
dict dictionary mapping
directory folder dir
discard drop omit skip
dummy fake mock pretend
element item value entry member
end finish exit terminate stop
env environment
equal identical same
error exception
every each all
execute run
exit leave quit
fallback default
fast quick
final last
find search locate look
fraction ratio rational
function callable
get return fetch retrieve
guard protect shield
hex hexadecimal sixteen
hide suppress
ignore suppress
interpreter program script
join glue concatenate chain
keep store save
kill terminate
later delay after
length size long
likely probability weight
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
warn warning
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
