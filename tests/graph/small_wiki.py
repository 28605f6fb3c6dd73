"""A wiki of twenty pages with redirects, links and categories of every kind, as a dump."""

from .dump_text import write_dump

PAGES = [
    (1, 0, "Cat", 0),
    (2, 0, "Dog", 0),
    (3, 0, "O'Hara_(),(x", 0),
    (4, 0, "Kitty", 1),
    (5, 0, "Kittens", 1),
    (6, 0, "Loop_A", 1),
    (7, 0, "Loop_B", 1),
    (8, 0, "Elsewhere", 1),
    (9, 0, "Fur", 1),
    (10, 0, "Jaguar_(disambiguation)", 0),
    (11, 0, "List_of_cats", 0),
    (12, 0, "1987", 0),
    (13, 1, "Cat", 0),
    (14, 14, "Animals", 0),
    (15, 14, "Pets", 0),
    (16, 14, "Articles_with_errors", 0),
    (17, 0, "Selfish", 1),
    (18, 0, "Lost", 1),
    (19, 0, "Taipei", 0),
    (20, 14, "Things", 0),
]

REDIRECTS = [
    (4, 0, "Cat", "", ""),
    (5, 0, "Kitty", None, None),
    (6, 0, "Loop_B", "", ""),
    (7, 0, "Loop_A", "", ""),
    (8, 0, "Katze", "de", ""),
    (9, 0, "Cat", "", "Fur"),
    (17, 0, "Selfish", "", ""),
    (18, 0, "Nowhere", "", ""),
]

LINKS = [
    (1, 0, "Dog"),
    (1, 0, "Unicorn"),
    (1, 0, "O'Hara_(),(x"),
    (1, 4, "About"),
    (1, 14, "Animals"),
    (1, 14, "Ghosts"),
    (2, 0, "Kitty"),
    (2, 0, "Kittens"),
    (2, 0, "Fur"),
    (2, 0, "Loop_A"),
    (2, 0, "Elsewhere"),
    (2, 0, "Lost"),
    (2, 0, "Cat"),
    (3, 0, "Cat"),
    (4, 0, "Cat"),
    (13, 0, "Dog"),
    (10, 0, "Cat"),
    (99, 0, "Cat"),
    (19, 0, "Cat"),
]

PROPS = [
    (1, "wikibase_item", "Q146"),
    (1, "page_image_free", "Cat.jpg"),
    (2, "wikibase_item", "Q144"),
    (10, "disambiguation", ""),
    (16, "hiddencat", ""),
    (13, "wikibase_item", "Q5"),
    (19, "wikibase_item", "Q1867"),
    (2, "defaultsort", "Dog"),
]

MEMBERS = [
    (1, "Animals"),
    (1, "Pets"),
    (2, "Pets"),
    (2, "Articles_with_errors"),
    (15, "Animals"),
    (14, "Things"),
    (14, "Pets"),
    (2, "Missing_category"),
]


def dump(folder, **more):
    given = {
        "pages": PAGES,
        "links": LINKS,
        "redirects": REDIRECTS,
        "props": PROPS,
        "members": MEMBERS,
    } | more
    return write_dump(folder, **given)


def edges_of(graph, kind):
    indptr, indices = graph.csr(kind)
    names = graph.nodes["name"].to_pylist()
    return {(names[v], names[u]) for v in range(graph.n) for u in indices[indptr[v] : indptr[v + 1]]}
