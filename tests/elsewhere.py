"""A second device, imitated on the CPU, so that a tensor which was forgotten on the first is found without a GPU.

It goes by the name of Apple's, "mps": tensors on it aren't mixed with those of the CPU, and have no float64.

    python tests/elsewhere.py book/13_fusion.ipynb    run chapters with it as the device that "auto" finds
"""

import ast
import copy
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from unittest import mock

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._mode_utils import no_dispatch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

DEVICE = torch.device("mps:0")
_COPIES = {torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default}
# Indices may lie on the CPU, where the device of what is indexed fetches them.
_INDEXING = {getattr(torch.ops.aten, name).default for name in ("index_put", "index_put_", "_index_put_impl_")}
_INDEXING.add(torch.ops.aten.index.Tensor)


class Elsewhere(torch.Tensor):
    """A tensor that says it is on :data:`DEVICE`; its numbers are in `here`, on the CPU. To PyTorch it is on "meta"."""

    __torch_function__ = torch._C._disabled_torch_function_impl
    device = property(lambda self: DEVICE)
    is_cpu = is_meta = is_cuda = property(lambda self: False)
    is_mps = property(lambda self: True)

    @staticmethod
    def __new__(cls, here: torch.Tensor) -> "Elsewhere":
        if here.dtype == torch.float64:
            raise TypeError("Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64")
        how = {"dtype": here.dtype, "layout": here.layout, "device": "meta", "requires_grad": here.requires_grad}
        made = cls._make_wrapper_subclass(cls, here.size(), here.stride(), here.storage_offset(), **how)
        made.here = here.detach()
        return made

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        return _calculate(function, args, kwargs or {})

    def __deepcopy__(self, memo: dict) -> "Elsewhere":
        made = Elsewhere(copy.deepcopy(self.here)).requires_grad_(self.requires_grad)
        made.__dict__ |= {name: value for name, value in self.__dict__.items() if name != "here"}
        return memo.setdefault(id(self), made)

    def __reduce_ex__(self, protocol: int):
        return self.here.__reduce_ex__(protocol)

    def __repr__(self) -> str:
        return f"{self.here!r} on {DEVICE}"

    def __format__(self, how: str) -> str:
        return format(self.here, how)

    def tolist(self) -> list:
        return self.here.tolist()

    def untyped_storage(self) -> torch.UntypedStorage:
        return self.here.untyped_storage()


class _Everywhere(TorchDispatchMode):
    """Brings what is made on, or moved to, :data:`DEVICE` to where it is imitated."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return _calculate(function, args, kwargs or {})


class _Numbered(TorchFunctionMode):
    """Gives the device its number, for which PyTorch would ask a library that isn't there.

    It also notes who asks for "meta": where nobody does, PyTorch itself wants a tensor like one that is elsewhere.
    """

    means_meta = False

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = tree_map(_numbered, kwargs or {})
        if function in (torch.tensor, torch.as_tensor, torch.asarray) and kwargs.get("device") == DEVICE:
            # These look at numbers without telling anybody.
            return function(*args, **(kwargs | {"device": "cpu"})).to(DEVICE)
        before = _Numbered.means_meta
        _Numbered.means_meta = any(map(_is_meta, tree_leaves((args, kwargs))))
        try:
            return function(*tree_map(_numbered, args), **kwargs)
        finally:
            _Numbered.means_meta = before


def _is_meta(value) -> bool:
    value = value.device if isinstance(value, torch.Tensor) else value
    return isinstance(value, str | torch.device) and str(value) == "meta"


def _numbered(value):
    return DEVICE if isinstance(value, str | torch.device) and str(value) == DEVICE.type else value


def _calculate(function, args: tuple, kwargs: dict):
    """Do on the CPU what was asked, but of tensors on one device only; a number, of no axes, may come from either."""
    if torch.is_inference_mode_enabled():  # there, functions that consist of others come whole
        with _Everywhere():
            found = function.decompose(*args, **kwargs)
        if found is not NotImplemented:
            return found
    tensors = [each for each in tree_leaves((args, kwargs)) if isinstance(each, torch.Tensor)]
    there = any(isinstance(each, Elsewhere) for each in tensors)
    allowed = function in _COPIES or (function in _INDEXING and isinstance(args[0], Elsewhere))
    if there and not allowed and any(each.ndim and not isinstance(each, Elsewhere) for each in tensors):
        raise RuntimeError(f"Expected all tensors to be on the same device: {DEVICE} and cpu in {function}")
    if (named := kwargs.get("device")) is not None:
        there = named.type == DEVICE.type or (named.type == "meta" and not _Numbered.means_meta)
        kwargs = kwargs | ({"device": torch.device("cpu")} if there else {})
    if function is torch.ops.aten._to_copy.default and there and isinstance(args[0], Elsewhere):
        if kwargs.get("dtype") in (None, args[0].dtype):
            return Elsewhere(args[0].here)
    found = function(*tree_map(_here, args), **tree_map(_here, kwargs))
    if torch.Tag.inplace_view in function.tags and there:
        with no_dispatch():  # the shape that PyTorch knows changes too
            function(*args, **kwargs)
    if function._schema.name.endswith("_") and function._schema.is_mutable:
        return args[0] if function._schema.returns else None
    return tree_map(lambda each: Elsewhere(each) if isinstance(each, torch.Tensor) else each, found) if there else found


def _here(value):
    return value.here if isinstance(value, Elsewhere) else value


@contextmanager
def imitated() -> Iterator[torch.device]:
    """Have :data:`DEVICE` inside, as the one that ``pick_device("auto")`` finds."""
    with (
        _Everywhere(),
        _Numbered(),
        mock.patch("torch.backends.mps.is_available", return_value=True),
        mock.patch("torch.cuda.is_available", return_value=False),
        mock.patch("torch.mps.manual_seed"),
    ):
        yield DEVICE


def run_chapter(path: Path) -> None:
    """Run a chapter's cells but the one that installs, with at most two epochs of what is trained on :data:`DEVICE`.

    What networks have learned by then isn't asked for: assertions are left out, comparisons of arrays stay.
    """
    import nbformat

    from ecgcourse import training

    def fit_briefly(model, train, val, config, *args, **options):
        if training.pick_device(config.device).type == DEVICE.type:
            config = replace(config, epochs=min(config.epochs, 2))
        return fit(model, train, val, config, *args, **options)

    fit = training.fit
    cells = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    names: dict = {"__name__": "chapter"}
    with imitated(), mock.patch.object(training, "fit", fit_briefly):
        for number, source in enumerate(cells[1:], start=1):
            tree = _WithoutAssertions().visit(ast.parse(source))
            try:
                exec(compile(ast.fix_missing_locations(tree), f"{path.name}, code cell {number}", "exec"), names)
            except Exception as error:
                error.add_note(source)
                raise


class _WithoutAssertions(ast.NodeTransformer):
    def visit_Assert(self, node: ast.Assert) -> ast.Pass:
        return ast.copy_location(ast.Pass(), node)


if __name__ == "__main__":
    import matplotlib

    matplotlib.use("Agg")
    for name in sys.argv[1:]:
        run_chapter(Path(name))
        print(f"{name}: every cell ran", flush=True)
