"""A map as an ONNX model, for runtimes in any language."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from mrl.adapt.exporting import ExportSpec, linear_matrix
from mrl.disk import write
from mrl.errors import MissingError
from mrl.maps import AnyMap, Residual

OPSET, IR = 17, 8  # of 2022: what onnxruntime reads since 1.12


def to_onnx(turn: AnyMap, path: Path, spec: ExportSpec) -> Path:
    """Write an ONNX model: `vectors` (n, width) float32 -> `embedding` (n, dim) float32; its path.

    For cosine, images are rescaled to length 1 after the cut; a zero image stays zero. Without `spec.dim` the model has
    a second input `dim`, one int64, which need not be given and is the whole width then; a larger one counts as that,
    one below 1 as 1. Its metadata say which map it is, its dims and the metric.

    MissingError without onnx.
    """
    write(path, onnx_model(turn, spec).SerializeToString())
    return path


def onnx_model(turn: AnyMap, spec: ExportSpec) -> Any:
    """The model, an `onnx.ModelProto`, checked."""
    onnx = _onnx()
    graph = _Graph(onnx.helper)
    vectors = graph.unit("vectors") if isinstance(turn, Residual) and turn.unit else "vectors"
    images = graph.cut(_images(graph, turn, vectors, spec.cut(turn)), None if spec.dim else turn.out)
    graph.node("Identity", [graph.unit(images) if spec.rescaled else images], "embedding")
    made = onnx.helper.make_model(
        graph.made(turn, spec),
        producer_name="mrl",
        ir_version=IR,
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
    )
    onnx.helper.set_model_props(made, _about(turn, spec))
    onnx.checker.check_model(made, full_check=True)
    return made


def _onnx() -> Any:
    try:
        return import_module("onnx")
    except ImportError:
        raise MissingError("an ONNX model needs onnx: pip install 'mrl[onnx]'") from None


def _about(turn: AnyMap, spec: ExportSpec) -> dict[str, str]:
    dims = spec.dims(turn) or (spec.cut(turn),)
    return {"map": turn.name, "fingerprint": turn.fingerprint, "dims": ",".join(map(str, dims)), "metric": spec.metric}


def _images(graph: _Graph, turn: AnyMap, vectors: str, dim: int) -> str:
    """y = x W, or y = x B + relu(x (BA) + a) C; only the columns of the cut are there."""
    if not isinstance(turn, Residual):
        return graph.node("MatMul", [vectors, graph.constant(linear_matrix(turn, dim, "ONNX"))])
    inner = graph.node("MatMul", [vectors, graph.constant(turn.into)])
    hidden = graph.node("Relu", [graph.node("Add", [inner, graph.constant(turn.bias)])])
    outer = graph.node("MatMul", [hidden, graph.constant(turn.outer[:, :dim])])
    return graph.node("Add", [graph.node("MatMul", [vectors, graph.constant(turn.base[:, :dim])]), outer])


class _Graph:
    """Nodes and constants as they are added. helper: `onnx.helper`."""

    def __init__(self, helper: Any) -> None:
        self.helper = helper
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def node(self, kind: str, inputs: list[str], output: str = "", **attributes: Any) -> str:
        """Add one; the name of its output."""
        output = output or f"{kind.lower()}{len(self.nodes)}"
        self.nodes.append(self.helper.make_node(kind, inputs, [output], **attributes))
        return output

    def constant(self, values: Any, name: str = "") -> str:
        """Add an array, float32 unless it is of int64; its name."""
        array = np.asarray(values)
        array = np.ascontiguousarray(array, "<i8" if array.dtype == np.int64 else "<f4").reshape(array.shape)
        name = name or f"constant{len(self.constants)}"
        kind = self.helper.np_dtype_to_tensor_dtype(array.dtype.newbyteorder("="))
        self.constants.append(self.helper.make_tensor(name, kind, array.shape, array.tobytes(), raw=True))
        return name

    def cut(self, images: str, width: int | None) -> str:
        """The first dims of images, as the input `dim` asks; all of them if no width is given."""
        if width is None:
            return images
        asked = self.constant(np.array([width], np.int64), "dim")
        ones = [self.constant(np.array([1], np.int64)) for _ in range(2)]
        stop = self.node("Max", [asked, ones[0]])
        return self.node("Slice", [images, self.constant(np.array([0], np.int64)), stop, ones[1]])

    def unit(self, rows: str) -> str:
        """Rows rescaled to length 1; zero rows stay zero. Divided by their largest entry first: nothing overflows."""
        peak = self.node("ReduceMax", [self.node("Abs", [rows])], axes=[1], keepdims=1)
        scaled = self.node("Div", [rows, self._or_one(peak)])
        return self.node("Div", [scaled, self._or_one(self.node("ReduceL2", [scaled], axes=[1], keepdims=1))])

    def _or_one(self, lengths: str) -> str:
        zero, one = self.constant(np.float32(0)), self.constant(np.float32(1))
        return self.node("Where", [self.node("Equal", [lengths, zero]), one, lengths])

    def made(self, turn: AnyMap, spec: ExportSpec) -> Any:
        """The graph. A constant that is an input too may be given anew when the model runs."""
        value, kinds = self.helper.make_tensor_value_info, (1, 7)  # float32 and int64, as ONNX numbers them
        inputs = [value("vectors", kinds[0], ["n", turn.width])]
        inputs += [] if spec.dim else [value("dim", kinds[1], [1])]
        outputs = [value("embedding", kinds[0], ["n", spec.dim or "dims"])]
        return self.helper.make_graph(self.nodes, str(turn), inputs, outputs, self.constants)
