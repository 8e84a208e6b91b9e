"""A model in bf16, and its imitation in f32 for a CPU: ONNX Runtime's CPU provider has no bf16 kernels for MatMul, Conv or DeformConv."""

import ml_dtypes
import numpy
import onnx_ir as ir
from onnx_ir.passes.common import LiftConstantsToInitializersPass, RemoveUnusedNodesPass, ShapeInferencePass
from onnxscript.version_converter import convert_version

# The first in which Conv, DeformConv and AveragePool take bf16.
OPSET = 22
# Of what exports consist of, that for which the CUDA provider of ONNX Runtime 1.31.1 has bf16 kernels in this opset; a model with another
# bf16 node could not be opened. The rest computes in f32 between casts, as do ReduceMean, Sin and Cos, for precision.
KERNELS = frozenset("""
    AveragePool Conv DeformConv Gemm LayerNormalization MatMul ReduceSum Softmax
    Abs Add Div Erf Exp Gelu Max Min Mul Neg Relu Sigmoid Sqrt Sub Tanh Where
    Concat Expand Flatten Gather GatherElements Identity Reshape Shape Slice Split Squeeze Tile Transpose Unsqueeze
""".split())
# Pixels: bf16 has 8 bits, so that 801 would become 800. What is computed of them alone stays f32.
COORDINATES = "boxes"
F32, BF16 = ir.DataType.FLOAT, ir.DataType.BFLOAT16
LARGEST = float(ml_dtypes.finfo(ml_dtypes.bfloat16).max)


def convert(model: ir.Model) -> None:
    """What depends on images, embeddings or text computes in bf16 where there is a kernel; inputs and outputs stay f32."""
    convert_version(model, OPSET)
    LiftConstantsToInitializersPass(size_limit=0)(model)
    ShapeInferencePass()(model)
    exact = write_out(model.graph)
    ShapeInferencePass()(model)
    graph = model.graph
    made = {}

    def cast(value: ir.Value | None, to: ir.DataType, user: ir.Node) -> ir.Value | None:
        if value is None or value.dtype not in (F32, BF16) or value.dtype == to:
            return value
        if value not in made:
            weight = constant(value)
            made[value] = graph_cast(value, to, user) if weight is None else initializer(graph, f"{value.name}_bf16", rounded(weight))
        return made[value]

    dependent = {port for port in graph.inputs if port.dtype == F32 and port.name != COORDINATES}
    for node in list(graph):
        depends = not dependent.isdisjoint(node.inputs)
        to = BF16 if depends and node.domain == "" and node.op_type in KERNELS and node not in exact else F32
        for i, value in enumerate(node.inputs):
            node.replace_input_with(i, cast(value, to, node))
        for output in node.outputs:
            if output.dtype is None:
                raise RuntimeError(f"{node.op_type} {output.name}: its type could not be inferred")
            if output.dtype == F32:
                output.dtype = to
                dependent |= {output} if depends else set()
    for i, output in enumerate(graph.outputs):
        if output.dtype == BF16:
            name, output.name = output.name, f"{output.name}_bf16"
            graph.outputs[i] = graph_cast(output, F32)
            graph.outputs[i].name = name
    RemoveUnusedNodesPass()(model)


def write_out(graph: ir.Graph) -> set[ir.Node]:
    """Replaces what the CUDA provider has in older opsets only, and would leave to the CPU, by nodes that are to compute in f32."""
    exact = set()
    for node in list(graph):
        tape = ir.tape.Tape()
        op = lambda kind, *inputs: tape.op(kind, inputs)
        numbers = lambda name, x, type=numpy.float32: initializer(graph, f"{node.outputs[0].name}_{name}", numpy.array(x, type))
        if node.op_type == "InstanceNormalization":
            x, scale, bias = node.inputs
            axes = numbers("axes", range(2, len(x.shape)), numpy.int64)
            beside = numbers("beside", range(1, len(x.shape) - 1), numpy.int64)
            centered = op("Sub", x, op("ReduceMean", x, axes))
            variance = op("ReduceMean", op("Mul", centered, centered), axes)
            deviation = op("Sqrt", op("Add", variance, numbers("epsilon", node.attributes.get_float("epsilon", 1e-5))))
            scaled = op("Mul", op("Div", centered, deviation), op("Unsqueeze", scale, beside))
            y = op("Add", scaled, op("Unsqueeze", bias, beside))
        elif node.op_type == "Elu":
            x, = node.inputs
            below = op("Sub", op("Exp", x), numbers("one", 1))
            below = op("Mul", below, numbers("alpha", node.attributes.get_float("alpha", 1.0)))
            y = op("Where", op("Greater", x, numbers("zero", 0)), x, below)
        else:
            continue
        ir.convenience.replace_nodes_and_values(graph, node, [node], tape.nodes, node.outputs, [y])
        exact.update(tape.nodes)
    return exact


def imitate(model: ir.Model) -> None:
    """Makes every bf16 tensor of a model an f32 tensor of the same values: what a node computes is rounded to bf16 and cast back."""
    graph = model.graph
    for weight in graph.initializers.values():
        if weight.dtype == BF16:
            weight.const_value = ir.tensor(weight.const_value.numpy().astype(numpy.float32), name=weight.name)
            weight.dtype = F32
    for node in list(graph):
        for output in node.outputs:
            if output.dtype == BF16:
                uses = list(output.uses())
                if node.op_type != "Cast":
                    output.dtype = F32
                    output = graph_cast(output, BF16)
                exact = graph_cast(output, F32)
                for user, i in uses:
                    user.replace_input_with(i, exact)


def constant(value: ir.Value) -> numpy.ndarray | None:
    """A weight, also one that is kept in f16 and cast."""
    node = value.producer()
    source = node.inputs[0] if node is not None and node.op_type == "Cast" else value
    return source.const_value.numpy().astype(numpy.float32) if source.is_initializer() else None


def rounded(weight: numpy.ndarray) -> numpy.ndarray:
    """To the nearest bf16, ties to even; what is finite stays finite."""
    return numpy.where(numpy.isfinite(weight), weight.clip(-LARGEST, LARGEST), weight).astype(ml_dtypes.bfloat16)


def initializer(graph: ir.Graph, name: str, weight: numpy.ndarray) -> ir.Value:
    tensor = ir.tensor(weight, name=name)
    value = ir.Value(name=name, type=ir.TensorType(tensor.dtype), shape=ir.Shape(weight.shape), const_value=tensor)
    graph.register_initializer(value)
    return value


def graph_cast(value: ir.Value, to: ir.DataType, user: ir.Node | None = None) -> ir.Value:
    """Casts a value: before the first node that uses it so, or where it is computed."""
    output = ir.Value(name=f"{value.name}_{to.short_name()}", type=ir.TensorType(to), shape=value.shape)
    node = ir.node("Cast", [value], {"to": to.value}, outputs=[output])
    graph = value.graph
    if user is not None:
        graph.insert_before(user, node)
    else:
        graph.insert_after(value.producer(), node)
    return output
