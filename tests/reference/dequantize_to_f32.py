#!/usr/bin/env python3
"""Rewrites a GGUF with every tensor as F32 and the same metadata.

    dequantize_to_f32.py MODEL.gguf OUT.gguf

A quantised model cannot be compared end to end with another engine (int8 activations are chaotic);
its float32 twin can, to about 1e-4. Needs numpy and gguf (PyPI).
"""
import sys

import numpy as np
from gguf import GGUFReader, GGUFValueType, GGUFWriter
from gguf.quants import dequantize

# The writer sets these itself, or they describe the old encoding.
REPLACED = {"general.architecture", "general.file_type", "general.quantization_version"}
FILE_TYPE_ALL_F32 = 0


def copy_metadata(reader: GGUFReader, writer: GGUFWriter) -> None:
    for key, field in reader.fields.items():
        if key.startswith("GGUF.") or key in REPLACED:
            continue
        kind = field.types[0]
        element = field.types[-1] if kind == GGUFValueType.ARRAY else None
        writer.add_key_value(key, field.contents(), kind, sub_type=element)
    writer.add_file_type(FILE_TYPE_ALL_F32)


def main(source: str, target: str) -> None:
    reader = GGUFReader(source)
    writer = GGUFWriter(target, reader.fields["general.architecture"].contents(), use_temp_file=False)
    copy_metadata(reader, writer)
    for tensor in reader.tensors:
        values = dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        writer.add_tensor(tensor.name, np.ascontiguousarray(values))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    print(f"{target}: {len(reader.tensors)} tensors as F32")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2])
