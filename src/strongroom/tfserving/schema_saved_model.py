"""SavedModel and graph, to look into a model without TensorFlow: a part of the table that `schema` explains.

Functions, collections, object graphs and operation lists are left out: protobuf keeps them as unknown fields, so a
message that is parsed and written again loses nothing. Source: spec `model-server.md` section 2; tensorflow/core.
"""

from __future__ import annotations

from typing import Final

TABLE: Final = """
package tensorflow
message AttrValue
  1 list/value ListValue
  2 s/value bytes
  3 i/value int64
  4 f/value float
  5 b/value bool
  6 type/value DataType
  7 shape/value TensorShapeProto
  8 tensor/value TensorProto
  9 placeholder/value string
  10 func/value NameAttrList
message AttrValue.ListValue
  2 s repeated bytes
  3 i repeated int64
  4 f repeated float
  5 b repeated bool
  6 type repeated DataType
  7 shape repeated TensorShapeProto
  8 tensor repeated TensorProto
  9 func repeated NameAttrList
message NameAttrList
  1 name string
  2 attr map<string,AttrValue>
message NodeDef
  1 name string
  2 op string
  3 input repeated string
  4 device string
  5 attr map<string,AttrValue>
message GraphDef
  1 node repeated NodeDef
  3 version int32
message AssetFileDef
  1 tensor_info TensorInfo
  2 filename string
message SaverDef
  1 filename_tensor_name string
  2 save_tensor_name string
  3 restore_op_name string
  4 max_to_keep int32
  5 sharded bool
  6 keep_checkpoint_every_n_hours float
  7 version CheckpointFormatVersion
enum SaverDef.CheckpointFormatVersion
  LEGACY 0, V1 1, V2 2
message MetaGraphDef
  1 meta_info_def MetaInfoDef
  2 graph_def GraphDef
  3 saver_def SaverDef
  5 signature_def map<string,SignatureDef>
  6 asset_file_def repeated AssetFileDef
message MetaGraphDef.MetaInfoDef
  1 meta_graph_version string
  3 any_info Any
  4 tags repeated string
  5 tensorflow_version string
  6 tensorflow_git_version string
  7 stripped_default_attrs bool
  8 function_aliases map<string,string>
message SavedModel
  1 saved_model_schema_version int64
  2 meta_graphs repeated MetaGraphDef
"""
