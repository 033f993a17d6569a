"""Questions that a person asks, and the documentation of Python's standard library that answers each.

They were written from what each function does, not from its docstring: `TUNING` to choose how documents are read and
ranked, `HELD_OUT` to measure how well that does, and for nothing else.
"""

from __future__ import annotations

from typing import NamedTuple


class Question(NamedTuple):
    """A question, and the ids of the documents that answer it; any of them will do."""

    text: str
    answers: tuple[str, ...]


def _questions(*rows: str) -> tuple[Question, ...]:
    pairs = [row.split(" | ") for row in rows]
    return tuple(Question(text, tuple(answers.split())) for text, answers in pairs)


TUNING = _questions(
    "how do I remember the results of an expensive function so it is not computed twice | functools.lru_cache functools.cache",
    "glue several lists together and walk over them one after another | itertools.chain itertools.chain.from_iterable",
    "which function gives me the square root of a number | math.sqrt math.isqrt",
    "make a directory and all missing parents | os.makedirs pathlib.Path.mkdir",
    "copy a whole folder with everything in it | shutil.copytree",
    "turn a python dictionary into json text | json.dumps",
    "split a shell command line into words respecting quotes | shlex.split",
    "how to get the file extension of a path | os.path.splitext pathlib.PurePath.suffix",
    "find the n biggest items of a list quickly | heapq.nlargest",
    "pick a random item from a sequence | random.choice random.Random.choice",
    "wait for a program that I started and capture what it printed | subprocess.run subprocess.check_output subprocess.Popen.communicate",
    "escape special characters so they are safe in html | html.escape",
    "measure how long small pieces of code take | timeit.timeit timeit timeit.Timer.timeit",
    "generate a random unique identifier | uuid.uuid4",
    "compare two texts line by line like the diff tool | difflib.unified_diff difflib.ndiff difflib.context_diff",
    "break a long paragraph into lines of limited width | textwrap.wrap textwrap.fill",
    "write rows to a comma separated file | csv.writer csv.DictWriter",
    "is this year a leap year | calendar.isleap",
    "median of a list of numbers | statistics.median",
    "check that a password token matches without leaking timing | hmac.compare_digest secrets.compare_digest",
    "cleanup function called when the interpreter ends | atexit.register",
    "insert into a list that is kept in order | bisect.insort bisect.insort_right bisect.insort_left",
    "undo percent encoding in a web address | urllib.parse.unquote",
    "make every combination of elements from two lists | itertools.product",
    "ignore some exceptions in a with block | contextlib.suppress",
    "find out the type hints of a function | typing.get_type_hints",
    "pretty print nested data structure | pprint.pprint pprint.pp pprint.PrettyPrinter",
    "delete a directory tree | shutil.rmtree",
    "reverse a sequence | reversed list.reverse",
    "is every element true | all",
)

HELD_OUT = _questions(
    "count how often each element occurs | collections.Counter collections.Counter.elements statistics.mode",
    "queue where I can push and pop quickly at both ends | collections.deque",
    "dictionary that makes a value for keys that are absent | collections.defaultdict",
    "fix some arguments of a function in advance | functools.partial",
    "fold a list into a single value by applying a function cumulatively | functools.reduce",
    "keep name and docstring of the original when writing a decorator | functools.wraps functools.update_wrapper",
    "take only the first few items of an iterator | itertools.islice",
    "all possible orderings of some items | itertools.permutations",
    "running totals of a sequence of numbers | itertools.accumulate",
    "bundle neighbouring equal items together | itertools.groupby",
    "round a number up to the next whole number | math.ceil",
    "greatest number that divides two integers | math.gcd",
    "are two floating point numbers nearly the same | math.isclose",
    "convert degrees into radians | math.radians",
    "product of all the numbers in an iterable | math.prod",
    "how spread out are my measurements, standard deviation | statistics.stdev statistics.pstdev statistics.NormalDist.stdev",
    "average of some data | statistics.mean statistics.fmean",
    "shuffle a list in random order | random.shuffle random.Random.shuffle",
    "draw several different elements at random without putting them back | random.sample random.Random.sample",
    "does this file exist | os.path.exists pathlib.Path.exists os.path.isfile pathlib.Path.is_file",
    "glue folder and file names into one path | os.path.join pathlib.PurePath.joinpath",
    "how many bytes big is a file | os.path.getsize",
    "expand tilde to the home folder of the user | os.path.expanduser pathlib.Path.expanduser",
    "go through all subdirectories recursively | os.walk os.fwalk",
    "list of the entries in a folder | os.listdir os.scandir pathlib.Path.iterdir",
    "give me a scratch folder that disappears by itself afterwards | tempfile.TemporaryDirectory",
    "move a file somewhere else | shutil.move",
    "how much room is left on the disk | shutil.disk_usage",
    "locate an executable on the search path | shutil.which",
    "match file names against shell style wildcards | fnmatch.fnmatch fnmatch.filter fnmatch.fnmatchcase",
    "find all places in a text where a pattern occurs | re.findall re.finditer",
    "replace what matches a regular expression | re.sub re.subn",
    "cut a text wherever a regular expression matches | re.split",
    "quote characters that have a special meaning in a regular expression | re.escape",
    "decode json from an open file | json.load",
    "store any python object in a file so it can be loaded later | pickle.dump pickle.Pickler shelve",
    "duplicate an object including everything nested inside | copy.deepcopy",
    "remove common leading indentation from every line | textwrap.dedent",
    "names most similar to a misspelled word | difflib.get_close_matches",
    "break a url into its parts | urllib.parse.urlparse urllib.parse.urlsplit",
    "build a query string for a url from a dict | urllib.parse.urlencode",
    "encode bytes as base64 | base64.b64encode base64.standard_b64encode base64.encodebytes",
    "random token that is safe to put in a web link | secrets.token_urlsafe",
    "pause the program for some seconds | time.sleep",
    "a clock for benchmarks that never goes backwards | time.perf_counter time.monotonic",
    "parse a date string in a given format | time.strptime datetime.datetime.strptime",
    "date and time in iso format as text | datetime.datetime.isoformat datetime.date.isoformat datetime.time.isoformat",
    "what day of the week is it | datetime.date.weekday datetime.date.isoweekday calendar.weekday",
    "run many blocking calls in a pool of threads | concurrent.futures.thread.ThreadPoolExecutor multiprocessing.pool.ThreadPool concurrent.futures.Executor.map",
    "get results of futures in the order in which they finish | concurrent.futures.as_completed asyncio.as_completed",
    "start a coroutine from ordinary code and wait until it is done | asyncio.run asyncio.Runner.run asyncio.run_coroutine_threadsafe",
    "run several coroutines at the same time and collect their results | asyncio.gather",
    "give up on an awaitable when it takes too long | asyncio.wait_for asyncio.timeout",
    "write a context manager as a generator with yield | contextlib.contextmanager contextlib.asynccontextmanager",
    "catch what is printed to stdout | contextlib.redirect_stdout",
    "source code of a function as a string | inspect.getsource inspect.getsourcelines",
    "parameters that a callable accepts | inspect.signature inspect.Signature inspect.getfullargspec",
    "safely evaluate a string that contains a python literal | ast.literal_eval",
    "human readable listing of bytecode | dis.dis dis.disassemble dis.Bytecode.dis",
    "import a module whose name is in a variable | importlib.import_module",
    "print the stack trace of the exception being handled | traceback.print_exc traceback.format_exc traceback.print_exception",
    "add an option to a command line parser | argparse.ArgumentParser optparse.OptionParser argparse optparse.OptionContainer.add_option argparse.ArgumentParser.add_argument",
    "put log messages into a file that starts anew when it gets too big | logging.handlers.RotatingFileHandler",
    "quick setup of logging with format and level | logging.basicConfig",
    "compress data in one go with gzip | gzip.compress",
    "unpack everything in a zip archive | zipfile.ZipFile.extractall",
    "open the default browser on a page | webbrowser.open",
    "fetch the contents of a web page | urllib.request.urlopen urllib.request.urlretrieve",
    "name of this computer on the network | socket.gethostname platform.node",
    "which operating system and machine is this | platform.platform platform.uname platform.system",
    "number of processors of the machine | os.cpu_count multiprocessing.cpu_count multiprocessing.context.BaseContext.cpu_count",
    "check if an object is an instance of some class | isinstance",
    "pair up elements of two lists | zip",
    "loop with a counter beside each item | enumerate",
    "order a list by a key | sorted list.sort",
    "remove whitespace at both ends of a string | str.strip",
    "does a text begin with some prefix | str.startswith",
    "character for a unicode number | chr",
    "mock out an attribute during a test | unittest.mock.patch unittest.mock",
    "a test that an error is raised | unittest.TestCase.assertRaises unittest.TestCase.assertRaisesRegex",
)
