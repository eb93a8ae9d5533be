"""Figures about the structure of the crates: python3 tests/python/structure.py [folder of a crate ...]

Code lines are lines that are neither empty nor comments, outside of `mod tests`. A room is a file or a folder in `src`; a
circle is a set of rooms, or of files in a folder, that import each other.
"""

import re
import sys
from pathlib import Path

CRATES = ["crates/order-events", "crates/service-runtime", "crates/cart-service", "crates/order-service", "stack"]
LONG = 40


def without_tests(text):
    """Up to the unit tests, which are last in a file; and nothing of a file that only tests have."""
    return text.split("\n#[cfg(test)]\nmod tests {")[0]


def code_lines(text):
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("//")]


def functions(text):
    """The lengths of functions, by indentation: what rustfmt has formatted ends where it began."""
    begun = {}
    for number, line in enumerate(text.splitlines()):
        indent = len(line) - len(line.lstrip())
        if re.match(r"\s*(pub(\([a-z]+\))? )?(const |async |unsafe )*fn \w", line) and not line.rstrip().endswith(";"):
            begun[indent] = number
        if line.strip() == "}" and indent in begun:
            yield number - begun.pop(indent) + 1


def imports(text, own):
    """The modules, as lists of names, that a file imports from its crate; `own` are the names of its own module."""
    for statement in re.findall(r"\b(?:use\s+)((?:crate|super|self)::[^;]+);", text):
        head = statement.split("{")[0].rstrip(":").replace(" ", "").split("::")
        heads = [head]
        if "{" in statement:
            inner = statement[statement.index("{") + 1 : statement.rindex("}")]
            while "{" in inner:
                inner = re.sub(r"\{[^{}]*\}", "", inner)
            heads = [head + [name.strip().split("::")[0]] for name in inner.split(",") if name.strip()]
        for path in heads:
            path = [name for name in path if name]
            base = list(own)
            while path and path[0] in ("crate", "super", "self"):
                name = path.pop(0)
                base = [] if name == "crate" else base[:-1] if name == "super" else base
            yield base + path


def module(path, source):
    names = list(path.relative_to(source).with_suffix("").parts)
    return names[:-1] if names[-1] in ("mod", "lib", "main") else names


def circles(edges):
    """The strongly connected components of more than one node."""
    reach = {}
    for node in edges:
        seen, open_nodes = set(), [node]
        while open_nodes:
            for target in edges.get(open_nodes.pop(), ()):
                if target not in seen:
                    seen.add(target)
                    open_nodes.append(target)
        reach[node] = seen
    sets = {frozenset(b for b in reach[a] if a in reach.get(b, ())) for a in edges if a in reach[a]}
    return sorted(sorted(circle) for circle in sets if len(circle) > 1)


def rooms(modules, at):
    """What each room in the folder `at` imports of the others."""
    edges = {}
    depth = len(at)
    for own, imported in modules:
        if own[:depth] != at or len(own) <= depth:
            continue
        room = own[depth]
        edges.setdefault(room, set())
        for path in imported:
            if path[:depth] == at and len(path) > depth and path[depth] != room:
                edges[room].add(path[depth])
    known = set(edges)
    return {room: targets & known for room, targets in edges.items()}


def figures(crate):
    source = Path(crate) / "src"
    files = sorted(source.rglob("*.rs"))
    texts = {path: path.read_text() for path in files}
    only_tests = {
        path.parent / name
        for path, text in texts.items()
        for name in re.findall(r"#\[cfg\(test\)\]\nmod (\w+);", text)
    }
    product = {path: without_tests(text) for path, text in texts.items() if path.with_suffix("") not in only_tests}
    modules = [(module(path, source), list(imports(text, module(path, source)))) for path, text in product.items()]
    folders = [[]] + [list(folder.relative_to(source).parts) for folder in source.rglob("*") if folder.is_dir()]
    found = ["/".join(at + ["{" + ", ".join(circle) + "}"]) for at in folders for circle in circles(rooms(modules, at))]
    lengths = [length for text in product.values() for length in functions(text)]
    public = sum(len(re.findall(r"^\s*pub (?!use|mod)", text, re.M)) for text in product.values())
    return {
        "files": len(product),
        "rooms": len(rooms(modules, [])),
        "code": sum(len(code_lines(text)) for text in product.values()),
        f"functions > {LONG}": sum(length > LONG for length in lengths),
        "public": public,
        "circles": found,
    }


def main():
    crates = sys.argv[1:] or CRATES
    rows = {crate: figures(crate) for crate in crates}
    names = list(next(iter(rows.values())))
    print("| crate | " + " | ".join(names) + " |")
    print("|---" * (len(names) + 1) + "|")
    for crate, row in rows.items():
        cells = [", ".join(value) or "none" if isinstance(value, list) else str(value) for value in row.values()]
        print(f"| {crate} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
