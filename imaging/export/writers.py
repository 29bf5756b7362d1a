"""A network to one file, a function per format.

The last convolution of each level and the decoding after it stay in float in every int8 file: box offsets and the
small scores of doubtful fractures do not survive 256 steps.
"""

import io
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from imaging.export.errors import ConversionError, ExportError, MissingExtraError
from imaging.export.network import EdgeNetwork

OPSET: Final = 17
INPUT: Final = "canvas"
OUTPUTS: Final = ("boxes", "scores")
FEATURES: Final = ("features_16", "features_32")
"""Outputs that follow where the network gives its feature maps, too."""

TFLITE_INT8_OPERATIONS: Final = (
    *("CONV_2D", "DEPTHWISE_CONV_2D", "ADD", "CONCATENATION", "MAX_POOL_2D", "PAD", "RESIZE_NEAREST_NEIGHBOR"),
)
_BODY: Final = r"^(?!.*imaging\.yolov7\.head\.)(?=.*imaging\.yolov7\.network\.)"
"""Operations of the network without its head, by the names of modules that litert-torch leaves in the file."""
_BACKBONE: Final = r"(?=.*imaging\.yolov7\.efficientnet_lite\.)"
_BESIDE: Final = r"(?!.*imaging\.yolov7\.efficientnet_lite\.)"
"""Within the body: EfficientNet-Lite backbones, whose activations end at 6, and what has leaky ReLU."""

Canvases = Sequence[NDArray[np.float32]]


class EdgeFormat(StrEnum):
    """What the file is for."""

    ONNX = "onnx"
    """ONNX Runtime: any desktop or tablet."""
    OPENVINO = "openvino"
    """OpenVINO: Intel and ARM processors."""
    TFLITE = "tflite"
    """LiteRT (TensorFlow Lite): Android, iOS, single-board computers."""


SUFFIX: Final = {EdgeFormat.ONNX: ".onnx", EdgeFormat.OPENVINO: ".openvino.zip", EdgeFormat.TFLITE: ".tflite"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A file as bytes, and what its reader must know."""

    data: bytes
    input_name: str
    output_names: tuple[str, ...]
    """Boxes, scores, then the feature maps if they are there."""
    quantisation: dict[str, Any] | None
    """How int8 was reached; None in float32."""


def write(network: EdgeNetwork, edge_format: EdgeFormat, size: int, calibration: Canvases | None) -> Written:
    """Turn a network into a file of the format.

    Args:
        network: what to export.
        edge_format: the format.
        size: side of the square canvas in pixels, a multiple of 32.
        calibration: canvases [1, 1, S, S] for int8; None for float32.

    Raises:
        MissingExtraError: a library of the format is not installed.
        ConversionError: the converter gave up.
    """
    writer: Callable[[EdgeNetwork, int, Canvases | None], Written] = {
        EdgeFormat.ONNX: write_onnx,
        EdgeFormat.OPENVINO: write_openvino,
        EdgeFormat.TFLITE: write_tflite,
    }[edge_format]
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporters speak of their own future
            return writer(network.eval(), size, calibration)
    except ImportError as error:
        raise MissingExtraError(error.name or "a library") from error
    except (ExportError, MemoryError):
        raise
    except Exception as error:  # converters raise what they like; each means the same to the person who asked
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise ConversionError(f"The {edge_format.value} converter gave up: {reason}") from error


def _names(network: EdgeNetwork) -> tuple[str, ...]:
    return (*OUTPUTS, *FEATURES) if network.with_features else OUTPUTS


def write_onnx(network: EdgeNetwork, size: int, calibration: Canvases | None, *, inputs_only: bool = False) -> Written:
    """ONNX; int8 as quantise-dequantise pairs (QDQ), signed, weights per channel.

    Args:
        network: what to export.
        size: side of the canvas in pixels.
        calibration: canvases for int8.
        inputs_only: put pairs before convolutions alone. OpenVINO then fuses a convolution with the activation after
            it; ONNX Runtime wants pairs on both sides of every operation to compute in integers.
    """
    import onnx
    import onnxruntime  # noqa: F401  - without it the file could not be checked

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "detector.onnx"
        torch.onnx.export(
            network,
            (torch.zeros(1, 1, size, size),),
            path,
            input_names=[INPUT],
            output_names=list(_names(network)),
            opset_version=OPSET,
            dynamo=False,
        )
        quantisation = None
        if calibration is not None:
            quantisation = _quantise_onnx(path, calibration, inputs_only=inputs_only)
        onnx.checker.check_model(str(path))
        data = path.read_bytes()
    return Written(data=data, input_name=INPUT, output_names=_names(network), quantisation=quantisation)


def _quantise_onnx(path: Path, calibration: Canvases, *, inputs_only: bool) -> dict[str, Any]:
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType
    from onnxruntime.quantization import quantize_static as quantise
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left = iter(calibration)

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            canvas = next(self.left, None)
            return None if canvas is None else {INPUT: canvas}

    prepared = path.with_suffix(".prepared.onnx")
    quant_pre_process(str(path), str(prepared))
    in_float = _head_and_after(onnx.load(str(prepared)).graph)
    quantise(
        str(prepared),
        str(path),
        Reader(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        # Seven bits for weights: without VNNI a processor adds two products in sixteen bits, and eight would overflow.
        reduce_range=True,
        activation_type=QuantType.QInt8,
        weight_type=QuantType.QInt8,
        calibrate_method=CalibrationMethod.MinMax,
        nodes_to_exclude=in_float,
        op_types_to_quantize=["Conv"] if inputs_only else None,
        extra_options={"OpTypesToExcludeOutputQuantization": ["Conv"]} if inputs_only else {},
    )
    return {
        "method": "onnxruntime static QDQ, int8 activations, 7-bit weights per channel, ranges by minimum and maximum",
        "in_float": "last convolution of each level and decoding",
    }


def _head_and_after(graph: Any) -> list[str]:
    """Names of the last convolution before boxes and scores, and of every node after those convolutions."""
    producers = {output: node for node in graph.node for output in node.output}
    in_float: dict[str, None] = {}
    waiting = [output.name for output in graph.output if output.name in OUTPUTS]
    while waiting:
        node = producers.get(waiting.pop())
        if node is None or node.name in in_float:
            continue
        in_float[node.name] = None
        if node.op_type != "Conv":
            waiting.extend(node.input)
    return list(in_float)


def write_openvino(network: EdgeNetwork, size: int, calibration: Canvases | None) -> Written:
    """OpenVINO's two files, network and weights, in one archive."""
    import openvino

    with tempfile.TemporaryDirectory() as folder:
        quantisation = None
        if calibration is None:
            model = openvino.convert_model(
                network, example_input=torch.zeros(1, 1, size, size), input=[1, 1, size, size]
            )
            model.inputs[0].get_tensor().set_names({INPUT})
            for output, name in zip(model.outputs, _names(network), strict=True):
                output.get_tensor().set_names({name})
        else:
            # OpenVINO runs quantise-dequantise pairs as integers; its own quantiser (nncf) forbids current numpy.
            written = write_onnx(network, size, calibration, inputs_only=True)
            source, quantisation = Path(folder) / "source.onnx", written.quantisation
            source.write_bytes(written.data)
            model = openvino.convert_model(source)
        openvino.save_model(model, Path(folder) / "detector.xml", compress_to_fp16=False)
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for name in ("detector.xml", "detector.bin"):
                # A fixed time makes the same weights give the same digest.
                archive.writestr(
                    zipfile.ZipInfo(name), (Path(folder) / name).read_bytes(), compress_type=zipfile.ZIP_DEFLATED
                )
    return Written(data=buffer.getvalue(), input_name=INPUT, output_names=_names(network), quantisation=quantisation)


def write_tflite(network: EdgeNetwork, size: int, calibration: Canvases | None) -> Written:
    """TFLite through litert-torch; int8 by the AI Edge quantiser, activations signed, weights per channel.

    Only backbones get fixed ranges; convolutions beside them take theirs from each radiograph. With fixed ranges all
    over, the shipped detector loses .060 of AP50 on 297 held-out radiographs (33 fractured), .043 by the neck alone.
    """
    import litert_torch
    from ai_edge_litert.interpreter import Interpreter

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "detector.tflite"
        litert_torch.convert(network, (torch.zeros(1, 1, size, size),)).export(str(path))
        data = path.read_bytes()
        signatures = Interpreter(model_content=data).get_signature_list()
        ((signature, names),) = signatures.items()
        quantisation = None
        if calibration is not None:
            data, quantisation = _quantise_tflite(path, signature, names["inputs"][0], calibration)
    # litert-torch names outputs by their place, in the order of `EdgeNetwork.forward`.
    outputs = tuple(sorted(names["outputs"]))
    return Written(data=data, input_name=names["inputs"][0], output_names=outputs, quantisation=quantisation)


def _quantise_tflite(path: Path, signature: str, entry: str, calibration: Canvases) -> tuple[bytes, dict[str, Any]]:
    from ai_edge_quantizer import calibrator, quantizer
    from ai_edge_quantizer.qtyping import TFLOperationName
    from ai_edge_quantizer.recipe_manager import RecipeManager
    from ai_edge_quantizer.utils.qsv_utils import min_max_update

    recipe = RecipeManager()
    for operation in TFLITE_INT8_OPERATIONS:
        recipe.add_static_config(
            _BODY + _BACKBONE, TFLOperationName[operation], activation_num_bits=8, weight_num_bits=8
        )
    recipe.add_dynamic_config(_BODY + _BESIDE, TFLOperationName.CONV_2D, num_bits=8)
    # The quantiser's own moving average forgets the brightest radiographs and then cuts off what they need.
    ranges = calibrator.Calibrator(str(path), num_threads=1, qsv_update_func=min_max_update)
    ranges.calibrate({signature: [{entry: canvas} for canvas in calibration]}, recipe)
    work = quantizer.Quantizer(str(path), recipe.get_quantization_recipe())
    data = bytes(work.quantize(ranges.get_model_qsvs()).quantized_model)
    return data, {
        "method": "AI Edge quantiser, int8 weights per channel, int8 activations; their ranges by minimum and maximum "
        "of training radiographs in backbones, of the radiograph at hand in the neck's convolutions",
        "in_float": "last convolution of each level, decoding, and in the neck everything but convolutions",
    }
