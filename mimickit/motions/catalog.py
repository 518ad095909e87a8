"""From what `motion=` may hold (names, files, folders, lists, datasets) to clips with weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Optional

import yaml

from mimickit.characters import Character
from mimickit.errors import (
    ConfigError,
    MotionError,
    UnknownMotion,
    closest,
    closest_beside,
    unknown_name_message,
)
from mimickit.motions.clip import Clip, load_clip, read_bytes
from mimickit.motions.importers.mimickit import read_mimickit
from mimickit.motions.returning import check_return, returning
from mimickit.motions.variants import (
    bent,
    check_bend,
    check_speed,
    check_symmetric,
    mirrored,
    other_side,
    retimed,
)

MOTIONS = Path(__file__).resolve().parents[2] / "motions"
INDEX = "index.yaml"
INDEX_KEYS = (
    "file", "loop", "fps", "duration", "weight", "may_touch_ground", "source", "licence", "notes",
)  # fmt: skip
PLACES = ("name", "file", "folder")  # an entry has one of them
ENTRY_KEYS = (
    *PLACES, "weight", "loop", "may_touch_ground", "return_s", "mirror", "speeds", "bend", "as",
)  # fmt: skip

_CLIP_SUFFIXES = (".npz", ".pkl")
_DATASET_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True, eq=False)
class MotionSource:
    """One clip that a run asks for, not read yet.

    Attributes:
        name: for reports; None takes the clip's own.
        path: of the clip.
        weight: how often it is sampled, relative to the others; >= 0.
        loop: whether it wraps around; None leaves that to the clip.
        may_touch_ground: see `MotionEntry`.
        return_s: how long its way back to its first pose takes [s]; None has no such way.
        mirrored, speed, bend: how the run wants it played; see `mimickit.motions.variants`.
    """

    name: Optional[str]
    path: Path
    weight: float
    loop: Optional[bool]
    may_touch_ground: Optional[tuple[str, ...]]
    return_s: Optional[float] = None
    mirrored: bool = False
    speed: float = 1.0
    bend: float = 0.0

    @property
    def label(self) -> str:
        """What a run calls it before it is read."""
        return self.variant(self.name or self.path.stem)

    def variant(self, name: str) -> str:
        """The name of a clip, marked as the variant that is wanted."""
        bend = f"_bent{self.bend:g}" if self.bend else ""
        mirror = "_mirrored" if self.mirrored else ""
        speed = f"_x{self.speed:g}" if self.speed != 1.0 else ""
        return f"{name}{bend}{mirror}{speed}"

    def varied(self, clip: Clip, character: Character) -> Clip:
        """The clip as it is wanted: made to loop, retimed, bent, mirrored, looping or not.

        Raises:
            CharacterError, ConfigError: see `mimickit.motions.variants` and `returning`.
        """
        if self.return_s is not None:
            clip = returning(clip, self.return_s)
        if self.speed != 1.0:
            clip = retimed(clip, self.speed)
        if self.bend:
            clip = bent(clip, self.bend)
        if self.mirrored:
            clip = mirrored(clip, character)
        return clip if self.loop is None else replace(clip, loop=self.loop)


@dataclass(frozen=True, eq=False)
class MotionEntry:
    """One clip of a run.

    Attributes:
        name: unique within the run, for reports.
        clip: the motion.
        weight: how often it is sampled, relative to the others; >= 0.
        may_touch_ground: bodies that may touch the ground in this clip; None takes the
            character's own list, an empty tuple allows all.
        original: the name of the clip whose variant this is; None of one played as it is.
    """

    name: str
    clip: Clip
    weight: float
    may_touch_ground: Optional[tuple[str, ...]]
    original: Optional[str] = None


def resolve_motions(
    motion: Any, character: Character, folder: Optional[Path] = None
) -> list[MotionEntry]:
    """The clips that `motion` asks for, at least one, with weights that do not sum to zero.

    Args:
        motion: a clip name of the character's index, or the name of a dataset beside it; a path to
            a clip (.npz, or MimicKit's .pkl), to a folder of clips, or to a dataset (.yaml); a
            mapping of `name`, `file` or `folder` with `weight`, `loop`, `may_touch_ground`,
            `return_s`, `mirror`, `speeds`, `bend`, `as`; or a list of any of these. Paths are
            relative to the working directory, those in a dataset to its file.
        folder: where the character's clips and index.yaml lie; None is motions/<character>.

    Raises:
        UnknownMotion: a name that the index does not have. UnknownBody: in `may_touch_ground`.
        ConfigError: a key, a weight or a form that cannot be. MotionError: a file that cannot be
            read. CharacterError: it cannot be mirrored.
    """
    sources = list_motions(motion, character, folder)
    return _unique([read_entry(source, character) for source in sources])


def list_motions(
    motion: Any, character: Character, folder: Optional[Path] = None
) -> list[MotionSource]:
    """As `resolve_motions`, but reads no clip."""
    resolver = _Resolver(character, MOTIONS / character.name if folder is None else Path(folder))
    sources = resolver.resolve(motion, "motion", Path())
    if not sources:
        raise ConfigError(f"motion={motion} asks for no clip at all; name at least one")
    if not sum(source.weight for source in sources) > 0:
        names = ", ".join(source.label for source in sources[:12])
        more = ", ..." if len(sources) > 12 else ""
        raise ConfigError(
            f"motion: the weights of all clips are 0 ({names}{more}); give one a weight"
        )
    return sources


def read_entry(source: MotionSource, character: Character) -> MotionEntry:
    """Read one clip.

    Raises:
        MotionError: the file cannot be read, or holds a clip of another character.
    """
    if source.path.suffix.lower() == ".pkl":
        clip = read_mimickit(source.path, character)
    else:
        clip = load_clip(source.path)
    try:
        clip.check_fits(character)
    except MotionError as error:
        raise MotionError(f"{source.path}: {error}") from None
    original = source.name or clip.name
    name = source.variant(original)
    clip = source.varied(clip, character)
    return MotionEntry(
        name,
        clip,
        source.weight,
        source.may_touch_ground,
        original=None if name == original else original,
    )


def motion_names(folder: Path) -> list[str]:
    """The clip names of a folder's index.yaml, in its order; none when it has no index."""
    return list(read_index(folder))


def dataset_names(folder: Path) -> list[str]:
    """The names of the datasets beside a folder's clips, which `motion=` finds."""
    found = (path.stem for path in Path(folder).glob("*.yaml") if path.name != INDEX)
    return sorted(found)


def read_index(folder: Path) -> dict[str, dict[str, Any]]:
    """The facts of each clip by name, from `folder`/index.yaml; empty when there is none.

    Raises:
        ConfigError: the index is malformed.
    """
    path = Path(folder) / INDEX
    if not path.is_file():
        return {}
    clips = _read_yaml(path, ("clips",)).get("clips")
    if not isinstance(clips, Mapping):
        raise ConfigError(f"{path}: 'clips' must map names to facts")
    for name, facts in clips.items():
        _check_keys(facts, INDEX_KEYS, f"{path}: clips.{name}")
        if not isinstance(facts.get("file"), str):
            raise ConfigError(
                f"{path}: clips.{name}.file must name a file, got {facts.get('file')}"
            )
    return {str(name): dict(facts) for name, facts in clips.items()}


def index_facts(clip: Clip, file: str, may_touch_ground: Optional[Sequence[str]]) -> dict[str, Any]:
    """What an index.yaml says about a clip in `file`: see `INDEX_KEYS`."""
    return {
        "file": file,
        "loop": clip.loop,
        "fps": clip.fps,
        "duration": round(clip.duration, 4),
        "weight": 1.0,
        "may_touch_ground": None if may_touch_ground is None else list(may_touch_ground),
        "source": clip.provenance["source"],
        "licence": clip.provenance["licence"],
        "notes": clip.provenance["notes"],
    }


def write_index(folder: Path, head: str, clips: Mapping[str, Any]) -> None:
    """Write `folder`/index.yaml.

    Args:
        head: what the clips are and what made them, for the first line.
        clips: `index_facts` by name.
    """
    text = (
        f"# {head}\n"
        "# may_touch_ground: null takes the character's own list, [] allows all bodies.\n"
    )
    text += yaml.safe_dump({"clips": clips}, sort_keys=False, width=100, allow_unicode=True)
    (folder / INDEX).write_text(text, encoding="utf-8")


class _Resolver:
    """Finds sources for one character; `where` is the key to change, `base` what paths start at."""

    def __init__(self, character: Character, folder: Path) -> None:
        self.character = character
        self.folder = folder
        self._indices: dict[Path, dict[str, MotionSource]] = {}  # by folder and name
        self._by_file: dict[Path, dict[str, MotionSource]] = {}  # by folder and file name

    def resolve(self, motion: Any, where: str, base: Path) -> list[MotionSource]:
        if isinstance(motion, Mapping):
            return self._mapping(motion, where, base)
        if isinstance(motion, (str, Path)):
            if Path(motion).suffix.lower() in _DATASET_SUFFIXES:
                return self._dataset(base / Path(motion).expanduser())
            return self._word(str(motion), where, base)
        if isinstance(motion, Sequence):
            found = []
            for number, item in enumerate(motion):
                found += self.resolve(item, f"{where}[{number}]", base)
            return found
        raise ConfigError(
            f"{where} must be a clip name, a path, a mapping, or a list of these, got {motion!r}"
        )

    def _dataset(self, path: Path) -> list[MotionSource]:
        motions = _read_yaml(path, ("motions",)).get("motions")
        if not isinstance(motions, list) or not motions:
            raise ConfigError(f"{path}: 'motions' must be a list of at least one clip")
        found = []
        for number, item in enumerate(motions):
            found += self._mapping(item, f"{path}: motions[{number}]", path.parent)
        return found

    def _mapping(self, item: Any, where: str, base: Path) -> list[MotionSource]:
        """What a mapping asks for: its facts are those of each clip that it brings."""
        _check_keys(item, ENTRY_KEYS, where)
        places = [key for key in PLACES if key in item]
        if len(places) != 1:
            raise ConfigError(f"{where} wants one of `name`, `file`, `folder`; got {dict(item)}")
        (place,) = places
        value, key = str(item[place]), f"{where}.{place}"
        if place == "name":
            sources = [self._named(value, key)]
        elif place == "file":
            sources = [self._file(value, key, base)]
        else:
            sources = self._folder(base / Path(value).expanduser(), key)
        facts: dict[str, Any] = {}
        if item.get("loop") is not None:
            if not isinstance(item["loop"], bool):
                raise ConfigError(f"{where}.loop must be true or false, got {item['loop']!r}")
            facts["loop"] = item["loop"]
        if item.get("return_s") is not None:
            if "loop" in facts:
                raise ConfigError(f"{where}: return_s makes a clip loop; leave `loop` away")
            facts["return_s"] = check_return(item["return_s"], f"{where}.return_s")
        if item.get("bend") is not None:
            facts["bend"] = check_bend(item["bend"], f"{where}.bend")
        if item.get("as") is not None:
            facts["name"] = _own_name(item["as"], len(sources), f"{where}.as")
        if "weight" in item:
            facts["weight"] = _weight(item["weight"], Path(value).stem, f"{where}.weight")
        if "may_touch_ground" in item:
            bodies = self._bodies(item["may_touch_ground"], f"{where}.may_touch_ground")
            facts["may_touch_ground"] = bodies
        sources = [replace(source, **facts) for source in sources]
        return self._variants(sources, item, where)

    def _variants(
        self, sources: Sequence[MotionSource], item: Mapping[str, Any], where: str
    ) -> list[MotionSource]:
        """Each clip in all variants that a mapping asks for; they share the clip's weight."""
        mirror, speeds = item.get("mirror", False), item.get("speeds", [1.0])
        if not isinstance(mirror, bool):
            raise ConfigError(f"{where}.mirror must be true or false, got {mirror!r}")
        if isinstance(speeds, str) or not isinstance(speeds, Sequence) or not speeds:
            raise ConfigError(f"{where}.speeds must be a list of numbers, got {speeds!r}")
        speeds = [check_speed(speed, f"{where}.speeds[{n}]") for n, speed in enumerate(speeds)]
        if len(set(speeds)) < len(speeds):
            raise ConfigError(f"{where}.speeds names a speed twice: {speeds}")
        if mirror:
            check_symmetric(self.character)
            sources = [kept for source in sources for kept in (source, _mirror_image(source))]
        share = len(speeds) * (2 if mirror else 1)
        return [
            replace(source, weight=source.weight / share, speed=speed)
            for source in sources
            for speed in speeds
        ]

    def _word(self, word: str, where: str, base: Path) -> list[MotionSource]:
        path = base / Path(word).expanduser()
        is_file = path.suffix.lower() in _CLIP_SUFFIXES
        is_path = is_file or "/" in word or "\\" in word
        if is_path:
            return self._folder(path, where) if path.is_dir() else [self._file(word, where, base)]
        if word not in self._index(self.folder):
            if word in dataset_names(self.folder):
                return self._dataset(self.folder / f"{word}.yaml")
            if path.is_dir():
                return self._folder(path, where)
        return [self._named(word, where, dataset_names(self.folder))]

    def _named(self, name: str, where: str, besides: Sequence[str] = ()) -> MotionSource:
        """A clip of the character's index; `besides` are other names that would do."""
        index = self._index(self.folder)
        if name not in index:
            kind = f"character '{self.character.name}' has no motion"
            known = [*index, *besides]
            raise UnknownMotion(unknown_name_message(kind, name, known, where, most=24))
        return index[name]

    def _file(self, file: str, where: str, base: Path) -> MotionSource:
        path = base / Path(file).expanduser()
        if path.suffix.lower() not in _CLIP_SUFFIXES:
            raise MotionError(
                f"{where}={file}: a clip is an .npz file, or MimicKit's .pkl; convert others with "
                "an importer. A dataset (.yaml) is given by itself or in a list"
            )
        # One of a catalog's clips, asked for by its path, brings the facts of its index.
        return self._listed(path) or MotionSource(None, path, 1.0, None, None)

    def _folder(self, folder: Path, where: str) -> list[MotionSource]:
        """All clips below a folder by path; with the facts of an index.yaml that lists them."""
        if not folder.is_dir():
            raise MotionError(f"{where}: there is no folder {folder}.{closest_beside(folder)}")
        found = []
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() in _CLIP_SUFFIXES and not path.name.startswith("."):
                name = path.relative_to(folder).with_suffix("").as_posix()
                found.append(self._listed(path) or MotionSource(name, path, 1.0, None, None))
        if not found:
            raise MotionError(
                f"{where}: folder {folder} holds no clip ({' or '.join(_CLIP_SUFFIXES)})"
            )
        return found

    def _index(self, folder: Path) -> dict[str, MotionSource]:
        """The clips of a folder's index.yaml by name."""
        if folder not in self._indices:
            found = {
                name: self._indexed(name, facts, folder)
                for name, facts in read_index(folder).items()
            }
            self._indices[folder] = found
            self._by_file[folder] = {source.path.name: source for source in found.values()}
        return self._indices[folder]

    def _listed(self, path: Path) -> Optional[MotionSource]:
        """What the index.yaml beside a clip says of it, if there is one that lists it."""
        self._index(path.parent)
        return self._by_file[path.parent].get(path.name)

    def _indexed(self, name: str, facts: Mapping[str, Any], folder: Path) -> MotionSource:
        where = f"{folder / INDEX}: clips.{name}"
        return MotionSource(
            name=name,
            path=folder / facts["file"],
            weight=_weight(facts.get("weight", 1.0), name, f"{where}.weight"),
            loop=None,
            may_touch_ground=self._bodies(
                facts.get("may_touch_ground"), f"{where}.may_touch_ground"
            ),
        )

    def _bodies(self, names: Any, where: str) -> Optional[tuple[str, ...]]:
        if names is None:
            return None
        if isinstance(names, str) or not isinstance(names, Sequence):
            raise ConfigError(
                f"{where} must be a list of bodies ([] allows all) or null, got {names!r}"
            )
        bodies = tuple(str(name) for name in names)
        self.character.body_ids(bodies, where)
        return bodies


def _read_yaml(path: Path, keys: Sequence[str]) -> dict[str, Any]:
    data = read_bytes(path)
    try:
        content = yaml.safe_load(data.decode("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{path} is not readable YAML: {reason}") from None
    _check_keys(content, keys, str(path))
    return content


def _check_keys(content: Any, known: Sequence[str], where: str) -> None:
    if not isinstance(content, Mapping):
        raise ConfigError(f"{where} must be a mapping of {', '.join(known)}, got {content!r}")
    for key in content:
        if key not in known:
            near = closest(str(key), known)
            hint = f" Closest: {', '.join(near)}." if near else ""
            raise ConfigError(f"{where} has an unknown key '{key}'.{hint} All: {', '.join(known)}.")


def _mirror_image(source: MotionSource) -> MotionSource:
    allowed = source.may_touch_ground
    if allowed is not None:
        allowed = tuple(other_side(name) for name in allowed)
    return replace(source, mirrored=True, may_touch_ground=allowed)


def _own_name(name: Any, clips: int, where: str) -> str:
    """What a clip is called in place of its name, so that it counts as another one."""
    if not isinstance(name, str) or not name:
        raise ConfigError(f"{where} must be a name, got {name!r}")
    if clips != 1:
        raise ConfigError(
            f"{where}={name} names one clip, and here are {clips}: name each by itself"
        )
    return name


def _weight(value: Any, name: str, where: str) -> float:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value < 0:
        raise ConfigError(
            f"{where}: the weight of clip '{name}' must be finite and >= 0, got {value}"
        )
    return float(value)


def _unique(entries: Sequence[MotionEntry]) -> list[MotionEntry]:
    """The entries, with #2, #3, ... added to names that came before."""
    taken = {entry.name for entry in entries}
    seen: set[str] = set()
    numbers: dict[str, int] = {}  # the last one given to each name
    unique = []
    for entry in entries:
        name = entry.name
        while name in seen or (name != entry.name and name in taken):
            numbers[entry.name] = numbers.get(entry.name, 1) + 1
            name = f"{entry.name}#{numbers[entry.name]}"
        seen.add(name)
        unique.append(entry if name == entry.name else replace(entry, name=name))
    return unique
