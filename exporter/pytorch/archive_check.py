"""What a TorchScript archive may do: compute. It is looked at before it is loaded, and again before it runs.

Nothing is allowed that is not known to compute alone. Loading runs what an archive calls `__setstate__`, so that none
may have one; running runs its operators, each of which must be allowed by the rules below.
"""

from __future__ import annotations

import re
from pathlib import Path

import torch

from ..errors import BundleError, first_line
from ..torch_internals.archives import read_records, run_operators

# What `torch.jit.save` writes: tensors, code, and the tables that say which is where.
_RECORD = re.compile(
    r"(data|constants|traced_inputs)\.pkl|version|byteorder|\.format_version|\.storage_alignment|\.data/(serialization_id|version)"
    r"|(data|constants|traced_inputs)/\d+|code/[A-Za-z0-9_/]+\.py(\.debug_pkl)?"
)
_ZIP = b"PK\x03\x04"
# Where the name of the other format lies that `torch.jit.load` reads, of compiled code.
_OTHER_FORMAT = b"PTMF"
_RUNS_WHEN_LOADED = re.compile(rb"__setstate__|torch\W*classes\b")

# Operators of ATen that compute though their names begin with an underscore; others of that kind are for its own use.
_INTERNAL = """
    _cast_Byte _cast_Char _cast_Double _cast_Float _cast_Half _cast_Int _cast_Long _cast_Short _conj _convolution
    _convolution_mode _euclidean_dist _is_all_true _is_any_true _log_softmax _logcumsumexp
    _native_multi_head_attention _nested_tensor_from_mask _nested_tensor_from_mask_left_aligned
    _pack_padded_sequence _pad_packed_sequence _reshape_from_tensor _set_item _shape_as_tensor _softmax _stack
    _thnn_fused_gru_cell _thnn_fused_lstm_cell _to_copy _transformer_encoder_layer_fwd _trilinear _unique _unique2
    _unwrap_optional _weight_norm _weight_norm_interface
"""

# Operators of ATen that take text, which names a way to compute, or is the text that they compute with.
_WITH_TEXT = """
    Delete Float Int __contains__ __getitem__ __interpolate __is__ __isnot__ __upsample _convolution_mode _set_item
    _unwrap_optional add any append capitalize center clear conv1d conv2d conv3d copy count device dict div div_
    divide divide_ einsum endswith eq expandtabs extend fft_fft fft_fft2 fft_fftn fft_hfft fft_ifft fft_ifft2
    fft_ifftn fft_ihfft fft_irfft fft_irfft2 fft_irfftn fft_rfft fft_rfft2 fft_rfftn find format ge gelu gelu_ get
    gt index index_reduce index_reduce_ insert isalnum isalpha isdecimal isdigit islower isnumeric isspace istitle
    isupper items join keys le len linalg_cond linalg_eigh linalg_eigvalsh linalg_lstsq linalg_matrix_norm
    linalg_norm linalg_qr linalg_svd linalg_svdvals list ljust lower lstrip lt meshgrid nanquantile ne ord pad
    pad_sequence partition percentFormat pop popitem quantile remove replace reverse rfind rindex rjust rpartition
    rsplit rstrip scatter scatter_ scatter_reduce scatter_reduce_ searchsorted setdefault slice sort sorted split
    splitlines startswith stft str strip swapcase title update upper values warn zfill
"""

# What of ATen is more than a computation on tensors that it is given, or trusts what it is given to be valid.
_MORE = re.compile(
    r"from_file|save|load|set_|set_data|backward|manual_seed|record_stream|pin_memory|is_pinned|_?wait"
    r"|(sparse|fbgemm|quantized|mkldnn|cudnn|miopen|q_|nested|rename|to_mkldnn|to_sparse)\w*|\w+_backward"
    r"|\w*(sparse|unsafe(?!_chunk|_split)|mkldnn|cudnn|miopen)\w*"
)

# Those of TorchScript itself: numbers, lists, branches, loops, and attributes of the archive's own objects.
_TORCHSCRIPT = """
    Constant ConstantChunk CreateObject DictConstruct DictIndex Enter EnumName EnumValue Exit GetAttr If IfThenElse
    ListConstruct ListIndex ListUnpack Loop NumToTensor Print RaiseException SetAttr StringIndex TupleConstruct
    TupleIndex TupleSlice TupleUnpack Uninitialized abs data device dtype grad index is_cpu is_cuda is_meta
    is_mkldnn is_mps is_nested is_quantized is_sparse is_sparse_csr is_vulkan is_xla is_xpu isinstance itemsize
    layout max min name nbytes rangelist requires_grad tolist type unchecked_cast unchecked_unwrap_optional
"""


def check_loadable(path: Path) -> None:
    """Refuse an archive that would run something when it is loaded, or holds what `torch.jit.save` does not write.

    Raises:
        BundleError: it is none, or may not be loaded.
    """
    with path.open("rb") as file:
        begin = file.read(8)
    if begin[:4] != _ZIP or begin[4:] == _OTHER_FORMAT:
        raise BundleError(f"{path} is not a TorchScript file (it is no archive). Export it again.")
    try:
        records = read_records(path)
    except RuntimeError as error:
        raise BundleError(f"{path} is not a TorchScript file ({first_line(error)}). Export it again.") from error
    for name, content in records.items():
        if not _RECORD.fullmatch(name):
            raise BundleError(
                f"{path} holds '{name}', which no TorchScript file needs, and is not loaded. Export it again."
            )
        found = _RUNS_WHEN_LOADED.search(content)
        if found is not None:
            raise BundleError(
                f"{path} has {found[0].decode()!r} in it, which runs when the file is loaded, and is not loaded. "
                "Export a model without it."
            )


def check_operators(path: Path, module: torch.jit.ScriptModule) -> None:
    """Refuse a loaded archive that does more than compute.

    Raises:
        BundleError: it has an operator that is not allowed.
    """
    refused = next((name for name, has_text in run_operators(module) if not _is_allowed(name, has_text)), "")
    if refused:
        raise BundleError(
            f"{path} runs {refused}, which is none of the operators that a model of tensors needs, and is not run. "
            "Export a model without it."
        )


def _is_allowed(kind: str, has_text: bool) -> bool:
    namespace, _, name = kind.partition("::")
    if namespace == "prim":
        return name in _TORCHSCRIPT.split()
    if namespace != "aten" or _MORE.fullmatch(name) or (has_text and name not in _WITH_TEXT.split()):
        return False
    return not name.startswith("_") or name.startswith("__") or name in _INTERNAL.split()
