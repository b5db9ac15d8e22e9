"""What PyTorch 2.13.0 answers to questions about layers and functions over space.

`spatial.json` holds the answers; the tests ask our stack the same. To add a question write it
below and run `python tests/tensor/nn/spatial.py` where PyTorch (extra `peers`) is installed.
`R` is randn from seed 0, `F` is nn.functional.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("spatial.json")

# What is refused, and in which words
ERRORS = """
F.conv2d(R(3,4),R(2,3,1,1))
F.conv2d(R(1,3,4,4),R(2,3,1,1,1))
F.conv2d(R(1,3,4,4),R(2,4,1,1))
F.conv2d(R(1,3,4,4),R(2,3,5,1))
F.conv2d(R(1,3,4,4),R(2,3,5,5),padding=(0,-1))
F.conv2d(R(1,3,4,4),R(2,3,1,1),stride=0)
F.conv2d(R(1,3,4,4),R(2,3,1,1),padding=(1,1,1))
F.conv2d(R(1,3,4,4),R(2,3,1,1),dilation=(1,1,1))
F.conv2d(R(1,3,4,4),R(2,3,1,1),dilation=0)
F.conv2d(R(1,3,4,4),R(2,3,1,1),padding='foo')
F.conv2d(R(1,3,4,4),R(2,3,1,1),padding='same',stride=2)
F.conv2d(R(1,4,4,4),R(2,2,1,1),groups=3)
F.conv2d(R(1,4,4,4),R(3,2,1,1),groups=2)
F.conv2d(R(1,4,4,4),R(3,2,1,1),groups=0)
F.conv2d(R(1,3,4,4),R(2,3,1,1),R(3))
F.conv2d(R(1,3,4,4),R(2,3,1,1).double())
F.conv2d(R(1,3,4,4),R(2,3,1,1),R(2).double())
F.conv2d(R(1,3,4,4).long(),R(2,3,1,1))
F.conv2d(R(1,3,4,4),R(2,3,0,1))
F.conv_transpose2d(R(1,3,4,4),R(2,3,1,1))
F.conv_transpose2d(R(1,3,4,4),R(3,2,1,1),R(3))
F.conv_transpose2d(R(1,3,4,4),R(3,2,1,1),output_padding=1)
F.conv_transpose2d(R(1,3,4,4),R(3,2,1,1),output_padding=-1)
F.conv_transpose2d(R(1,3,4,4),R(3,2,1,1),padding=3)
F.conv_transpose2d(R(1,4,4,4),R(4,2,1,1),output_padding=(1,1,1))
F.conv_transpose2d(R(4,4),R(4,2,3,3))
F.pad(R(1,2),(1,1,1,1,1,1))
F.pad(R(1,2),(1,1,1))
F.pad(R(1,2),(1,-4))
F.pad(R(1,2),(2,1),'reflect')
F.pad(R(2),(1,1),'reflect')
F.pad(R(1,2,3,3,3),(1,1,1,1,4,1),'circular')
F.pad(R(1,2,3),(1,1),'foo')
F.pad(R(1,2,3),(1,1),'reflect',2.)
F.pad(R(1,2,0,3),(1,1,1,1),'replicate')
F.pad(R(1,2,3,3),(-2,-2,1,1),'circular')
F.pad(R(1,2,3),(-4,0),'replicate')
F.pad(R(1,2,3),(-3,0),'replicate')
F.pad(R(1,2,3),1)
F.pad(R(1,2,3),(1.,1))
torch.constant_pad_nd(R(3),(1,1,1))
torch.constant_pad_nd(R(3),(1,1,1,1))
F.interpolate(R(1,2,3),scale_factor=2,size=4)
F.interpolate(R(1,2,3))
F.interpolate(R(1,2,3),size=(4,4))
F.interpolate(R(1,2,3),scale_factor=(4,4))
F.interpolate(R(2,3),size=4)
F.interpolate(R(1,2,3),size=4,mode='bilinear')
F.interpolate(R(1,2,3,3),size=4,mode='linear')
F.interpolate(R(1,2,3,3),size=4,mode='trilinear')
F.interpolate(R(1,2,3,3,3),size=4,mode='bicubic')
F.interpolate(R(1,2,3,3),size=4,mode='foo')
F.interpolate(R(1,2,3,3),size=4,mode='nearest',align_corners=True)
F.interpolate(R(1,2,3,3),size=4,mode='nearest',antialias=True)
F.interpolate(R(1,2,3,3),size=0,mode='nearest')
F.interpolate(R(1,2,3,3),size=-1,mode='bilinear')
F.interpolate(R(1,2,3,3).long(),size=4,mode='bilinear')
F.interpolate(R(1,2,3,3).long(),size=4,mode='nearest')
F.interpolate(R(1,2,3,3).bool(),size=4,mode='area')
F.interpolate(R(1,2,3,3),size=4,mode='nearest',recompute_scale_factor=True)
F.interpolate(R(1,0,3,3),scale_factor=2,mode='bilinear')
F.grid_sample(R(1,2,3,3),R(2,4,4,2))
F.grid_sample(R(1,2,3,3),R(1,4,4,3))
F.grid_sample(R(1,2,3,3,3),R(1,4,4,4,3),mode='bicubic')
F.grid_sample(R(1,2,3,3),R(1,4,4,2),mode='foo')
F.grid_sample(R(1,2,3,3),R(1,4,4,2),padding_mode='foo')
F.grid_sample(R(1,2,0,3),R(1,4,4,2))
F.affine_grid(R(1,2,3),(1,2,3))
F.affine_grid(R(1,2,4),(1,2,3,3))
F.affine_grid(R(2,2,3),(1,2,3,3))
F.affine_grid(R(1,2,3),(1,2,0,3))
F.affine_grid(R(1,2,3).long(),(1,2,1,3))
F.pixel_shuffle(R(1,2,3),2)
F.pixel_shuffle(R(4,3),2)
F.pixel_shuffle(R(4,3,3),0)
F.pixel_unshuffle(R(4,3,3),2)
F.pixel_unshuffle(R(4,4,3),2)
F.pixel_unshuffle(R(4,4),2)
F.pixel_unshuffle(R(4,4,4),-2)
F.channel_shuffle(R(1,3,3),2)
F.channel_shuffle(R(3,3),2)
F.channel_shuffle(R(3,4,4),0)
F.unfold(R(3,4),2)
F.unfold(R(1,3,4,4),5)
F.unfold(R(1,3,4,4),2,stride=0)
F.unfold(R(1,3,4,4),2,padding=-1)
F.unfold(R(1,3,4,4),2,dilation=0)
F.unfold(R(1,3,4,4).long(),2)
F.unfold(R(1,3,4,4),(2,2,2))
F.fold(R(1,3,4),(3,3),2)
F.fold(R(1,4,3),(3,3),2)
F.fold(R(4),(3,3),2)
F.fold(R(1,4,4),(0,3),2)
F.fold(R(1,4,4).long(),(3,3),2)
F.max_pool1d(R(1,2,4),0)
F.max_pool1d(R(1,2,4),2,0)
F.max_pool1d(R(1,2,4),2,2,-1)
F.max_pool1d(R(1,2,4),2,2,2)
F.max_pool1d(R(1,2,4),5)
F.max_pool1d(R(1,2,4).requires_grad_(),5)
F.max_pool1d(R(4).requires_grad_(),2,0)
F.max_pool1d(R(4),2)
F.max_pool1d(R(1,2,4),(2,2,2,2))
F.max_pool1d(R(1,2,4),2,(2,2,2,2))
F.max_pool1d(R(1,2,4),2,2,(1,1,1,1))
F.max_pool1d(R(1,2,4).long(),2)
F.max_pool1d(R(1,2,4).bool(),2)
F.max_pool1d(R(1,2,4),2,2,0,0)
F.max_pool1d(R(1,2,4),2,2,0,(1,1,1,1))
F.adaptive_max_pool1d(R(1,2,4),(2,2,2,2))
F.adaptive_max_pool1d(R(4),2)
F.adaptive_max_pool1d(R(1,2,0),2)
F.adaptive_max_pool1d(R(1,2,4).long(),2)
F.adaptive_max_pool1d(R(1,2,4),None)
F.adaptive_max_pool1d(R(1,2,4),(None,2))
F.max_pool2d(R(1,2,4,4),0)
F.max_pool2d(R(1,2,4,4),2,2,-1)
F.max_pool2d(R(1,2,4,4),2,2,2)
F.max_pool2d(R(1,2,4,4),5)
F.max_pool2d(R(4),2)
F.max_pool2d(R(1,2,4,4),(2,2,2,2))
F.max_pool2d(R(1,2,4,4),2,(2,2,2,2))
F.max_pool2d(R(1,2,4,4),2,2,(1,1,1,1))
F.max_pool2d(R(1,2,4,4).bool(),2)
F.max_pool2d(R(1,0,4,4),2)
F.max_pool2d(R(1,2,4,4),2,2,0,0)
F.max_pool2d(R(1,2,4,4),2,2,0,(1,1,1,1))
F.max_pool2d(R(1,2,4,4),3,1,2,2)
F.adaptive_max_pool2d(R(1,2,4,4),(2,2,2,2))
F.adaptive_max_pool2d(R(4),2)
F.max_pool3d(R(1,2,4,4,4),5)
F.max_pool3d(R(1,2,4,4,4),(2,2,2,2))
F.max_pool3d(R(1,2,4,4,4),2,(2,2,2,2))
F.max_pool3d(R(1,2,4,4,4),2,2,(1,1,1,1))
F.max_pool3d(R(1,0,4,4,4),2)
F.max_pool3d(R(1,2,4,4,4),2,2,0,0)
F.max_pool3d(R(1,2,4,4,4),2,2,0,(1,1,1,1))
F.max_pool3d(R(1,2,4,4,4),3,1,2,2)
F.adaptive_max_pool3d(R(1,2,4,4,4).long(),2)
F.avg_pool1d(R(4),2)
F.avg_pool1d(R(1,2,4),(2,2,2,2))
F.avg_pool1d(R(1,2,4),2,(2,2,2,2))
F.avg_pool1d(R(1,2,4),2,2,(1,1,1,1))
F.avg_pool1d(R(1,2,4).bool(),2)
F.adaptive_avg_pool1d(R(1,2,4),-1)
F.adaptive_avg_pool1d(R(1,2,4),(2,2,2,2))
F.adaptive_avg_pool1d(R(4),2)
F.adaptive_avg_pool1d(R(1,2,0),2)
F.adaptive_avg_pool1d(R(1,2,4).long(),2)
F.adaptive_avg_pool1d(R(1,2,4),None)
F.adaptive_avg_pool1d(R(1,2,4),(None,2))
F.avg_pool2d(R(4),2)
F.avg_pool2d(R(1,2,4,4),(2,2,2,2))
F.avg_pool2d(R(1,2,4,4),2,(2,2,2,2))
F.avg_pool2d(R(1,2,4,4),2,2,(1,1,1,1))
F.avg_pool2d(R(1,2,4,4),2,divisor_override=0)
F.adaptive_avg_pool2d(R(1,2,4,4),-1)
F.adaptive_avg_pool2d(R(4),2)
F.adaptive_avg_pool2d(R(1,2,4,4),(2,))
F.avg_pool3d(R(1,2,4,4,4),5)
F.avg_pool3d(R(1,2,4,4,4),(2,2,2,2))
F.avg_pool3d(R(1,2,4,4,4),2,(2,2,2,2))
F.avg_pool3d(R(1,2,4,4,4),2,2,(1,1,1,1))
F.avg_pool3d(R(1,2,4,4,4).bool(),2)
F.avg_pool3d(R(1,0,4,4,4),2)
F.adaptive_avg_pool3d(R(1,2,4,4,4),-1)
F.adaptive_avg_pool3d(R(1,2,4,4,4).long(),2)
F.fractional_max_pool2d(R(1,2,4,4),2)
F.fractional_max_pool2d(R(1,2,4,4),2,4)
F.fractional_max_pool2d(R(1,2,4,4),(2,2,2),2)
F.fractional_max_pool2d(R(1,2,4,4),2,(2,2,2))
F.fractional_max_pool2d(R(1,2,4,4),2,2,_random_samples=R(1,2,3))
F.fractional_max_pool2d(R(1,2,4,4),2,2,_random_samples=R(1,2,2).double())
F.fractional_max_pool3d(R(1,2,4,4,4),2,4)
F.fractional_max_pool2d(R(1,2,0,4),2,2)
F.max_unpool2d(R(1,2,2,2),R(1,2,2,2),2)
F.max_unpool2d(R(1,2,2,2),torch.zeros(1,2,2,3).long(),2)
F.max_unpool2d(R(1,2,2,2),torch.zeros(1,2,2,2).long()+99,2)
F.max_unpool2d(R(1,2,2,2),torch.zeros(1,2,2,2).long(),2,output_size=(9,9))
F.max_unpool2d(R(1,2,2,2),torch.zeros(1,2,2,2).long(),2,output_size=(9,))
F.max_unpool2d(R(2,2),torch.zeros(2,2).long(),2)
F.max_unpool2d(R(1,2,0,2),torch.zeros(1,2,0,2).long(),2)
F.max_unpool3d(R(1,2,2,2,2),torch.zeros(1,2,2,2,2).long()+999,2)
F.max_unpool3d(R(1,2,2,2,2),torch.zeros(1,2,2,2,2).long(),2,0)
F.max_unpool3d(R(1,2,2,2,2),torch.zeros(1,2,2,2,2).int(),2)
torch.nn.FractionalMaxPool2d(2)
torch.nn.FractionalMaxPool2d(2,2,.5)
torch.nn.FractionalMaxPool2d(2,output_ratio=2)
torch.nn.FractionalMaxPool3d(0,2)
F.batch_norm(R(2,3),R(4),R(3))
F.batch_norm(R(2,3),R(3),R(4))
F.batch_norm(R(2,3),R(3),R(3),R(4))
F.batch_norm(R(2,3),R(3),R(3),R(3),R(4))
F.batch_norm(R(2,3),None,None)
F.batch_norm(R(2,3),R(3),None)
F.batch_norm(R(2,3),None,None,training=True,eps=0.)
F.batch_norm(R(2,3),R(3),R(3),eps=-1.)
F.batch_norm(R(1,3),None,None,training=True)
F.batch_norm(R(2,3).long(),R(3),R(3))
F.batch_norm(R(2,3).double(),R(3),R(3))
F.batch_norm(R(2,3),R(3).double(),R(3).double())
F.batch_norm(R(2,3),R(3).requires_grad_(),R(3))
F.instance_norm(R(2,3,1))
F.instance_norm(R(2,3,4),use_input_stats=False)
F.layer_norm(R(2,3),(4,))
F.layer_norm(R(2,3),())
F.layer_norm(R(2,3),(3,),R(4))
F.layer_norm(R(2,3),(3,),R(3),R(4))
F.layer_norm(R(2,3),3)
F.layer_norm(R(2,3).long(),(3,))
F.group_norm(R(2,3),2)
F.group_norm(R(2,4),2,R(3))
F.group_norm(R(2,4),2,R(4),R(5))
F.group_norm(R(4),2)
F.group_norm(R(1,4),4)
F.group_norm(R(1,4,2),0)
F.group_norm(R(2,4,2),-1)
F.rms_norm(R(2,3).long(),(3,))
F.local_response_norm(R(2,3),2)
F.local_response_norm(R(2,3,4),0)
nn.BatchNorm2d(3)(R(2,3))
nn.BatchNorm1d(3)(R(3))
nn.InstanceNorm2d(3,affine=True)(R(4,4,4))
nn.SyncBatchNorm(3)(R(3))
nn.CrossMapLRN2d(3)(R(1,3,3))
nn.GroupNorm(3,4)
"""

# A layer, and its inputs: its repr, the names of its state, its result and all gradients
LAYERS = """
nn.Conv1d(2, 4, 3, stride=2, padding=1, padding_mode="circular"), R(2, 2, 5)
nn.Conv1d(2, 2, 3, padding="same", dilation=2, bias=False), R(2, 5)
nn.Conv1d(2, 2, 4, padding="same", padding_mode="reflect"), R(2, 7)
nn.Conv2d(4, 4, (3, 2), stride=(1, 2), padding=(2, 1), dilation=(2, 1), groups=2), R(2, 4, 4, 5)
nn.Conv2d(3, 3, 2, padding="same", groups=3), R(1, 3, 3, 4)
nn.Conv2d(2, 2, 3, padding=1, padding_mode="replicate"), R(1, 2, 3, 4)
nn.Conv3d(1, 2, (1, 2, 3), padding="valid"), R(1, 1, 2, 3, 4)
nn.ConvTranspose1d(4, 2, 3, stride=2, output_padding=1, groups=2), R(4, 4)
nn.ConvTranspose2d(2, 3, 3, stride=2, padding=1, dilation=2), R(1, 2, 3, 2)
nn.ConvTranspose2d(2, 1, 2, stride=3, bias=False), R(1, 2, 2, 2), [7, 6]
nn.ConvTranspose3d(1, 2, 2, stride=(1, 2, 1)), R(1, 1, 2, 2, 2)
nn.MaxPool1d(3, 2, 1), R(1, 2, 6)
nn.MaxPool2d((2, 3), stride=1, dilation=(2, 1), ceil_mode=True), R(1, 2, 5, 4)
nn.MaxPool3d(2, padding=1), R(1, 1, 3, 3, 4)
nn.AvgPool1d(3, 2, 1, ceil_mode=True, count_include_pad=False), R(2, 6)
nn.AvgPool2d((2, 3), 2, (1, 1), True), R(1, 2, 4, 5)
nn.AvgPool3d(2, 1, divisor_override=3), R(1, 1, 3, 3, 3)
nn.AdaptiveAvgPool1d(3), R(1, 2, 7)
nn.AdaptiveAvgPool2d((None, 2)), R(1, 2, 3, 5)
nn.AdaptiveAvgPool2d(1), R(1, 2, 3, 5)
nn.AdaptiveAvgPool3d((1, 2, 3)), R(1, 1, 3, 3, 4)
nn.AdaptiveMaxPool1d(3), R(2, 7)
nn.AdaptiveMaxPool2d((2, None)), R(1, 2, 5, 3)
nn.AdaptiveMaxPool3d(2), R(1, 1, 3, 2, 3)
nn.FractionalMaxPool2d(2, output_size=(3, 2)), R(2, 2, 5, 6)
nn.FractionalMaxPool2d((2, 3), output_ratio=0.5), R(2, 7, 8)
nn.FractionalMaxPool3d(2, output_size=(3, 2, 3)), R(1, 2, 5, 6, 7)
nn.LPPool1d(2, 3, 1), R(1, 2, 6)
nn.LPPool2d(math.inf, 2), R(1, 2, 4, 5)
nn.LPPool3d(2, 2, ceil_mode=True), R(1, 1, 3, 3, 2)
nn.MaxUnpool1d(2), R(1, 2, 3), torch.tensor([[[0, 3, 5], [1, 2, 4]]])
nn.MaxUnpool2d(2, 1), R(1, 1, 2, 2), torch.tensor([[[[0, 5], [6, 8]]]])
nn.MaxUnpool3d((1, 2, 2)), R(1, 1, 1, 1, 2), torch.tensor([[[[[1, 6]]]]]), [1, 2, 4]
nn.ZeroPad1d((1, 2)), R(2, 3)
nn.ZeroPad2d((1, -1, 0, 2)), R(2, 3, 3)
nn.ZeroPad3d(1), R(1, 1, 1, 2)
nn.ConstantPad1d(1, 3.5), R(1, 2, 3)
nn.ConstantPad2d((0, 1, 2, 0), -1), R(1, 2, 2)
nn.ConstantPad3d((0, 1, 0, 0, 1, 0), 2), R(1, 1, 2, 2)
nn.ReflectionPad1d((2, 1)), R(1, 2, 4)
nn.ReflectionPad2d((1, 0, 2, 1)), R(1, 3, 2)
nn.ReflectionPad3d(1), R(1, 2, 2, 2)
nn.ReplicationPad1d(2), R(2, 3)
nn.ReplicationPad2d((1, -1, 0, 2)), R(1, 1, 2, 3)
nn.ReplicationPad3d((1, 1, 0, 0, 0, 1)), R(1, 1, 2, 2, 2)
nn.CircularPad1d((2, 1)), R(2, 3)
nn.CircularPad2d((1, -1, 2, 0)), R(1, 1, 3, 4)
nn.CircularPad3d(1), R(1, 2, 2, 1)
nn.Upsample(scale_factor=2), R(1, 2, 3)
nn.Upsample((5, 2), mode="bicubic", align_corners=True), R(1, 1, 3, 4)
nn.UpsamplingNearest2d(scale_factor=1.5), R(1, 1, 3, 2)
nn.UpsamplingBilinear2d((4, 3)), R(1, 1, 3, 2)
nn.PixelShuffle(2), R(1, 8, 2, 1)
nn.PixelUnshuffle(2), R(2, 4, 2)
nn.ChannelShuffle(2), R(1, 4, 2)
nn.Unfold((2, 1), dilation=2, padding=1, stride=(1, 2)), R(1, 2, 3, 3)
nn.Fold((3, 4), 2, padding=(1, 0)), R(1, 4, 12)
nn.BatchNorm1d(3, momentum=0.3), R(4, 3)
nn.BatchNorm2d(2, affine=False), R(2, 2, 2, 3)
nn.BatchNorm3d(2, track_running_stats=False), R(2, 2, 1, 2, 2)
nn.BatchNorm2d(2).eval(), R(2, 2, 2, 3)
nn.SyncBatchNorm(2, momentum=None), R(3, 2)
nn.InstanceNorm1d(2, affine=True), R(2, 4)
nn.InstanceNorm2d(2, affine=True, track_running_stats=True), R(2, 2, 2, 3)
nn.InstanceNorm3d(2, affine=True, track_running_stats=True).eval(), R(1, 2, 2, 2, 1)
nn.GroupNorm(2, 4), R(2, 4, 3)
nn.LayerNorm((2, 3), bias=False), R(2, 2, 3)
nn.RMSNorm(3), R(2, 3)
nn.LocalResponseNorm(2, 0.5), R(1, 4, 3)
nn.LocalResponseNorm(3, 0.5, 0.6, 2.0), R(1, 4, 2, 2)
"""

# Functions whose modes no layer has, and their inputs x and y
FUNCTIONS = """
F.conv_tbc(x, y, torch.ones(2), 1) | R(4, 2, 3), R(2, 3, 2)
F.interpolate(x, size=5, mode="nearest") | R(1, 1, 3)
F.interpolate(x, scale_factor=0.6, mode="nearest-exact") | R(1, 1, 7)
F.interpolate(x, scale_factor=1.7, mode="linear") | R(1, 1, 5)
F.interpolate(x, scale_factor=1.7, mode="linear", recompute_scale_factor=True) | R(1, 1, 5)
F.interpolate(x, (3, 5), mode="bilinear", align_corners=False) | R(1, 1, 4, 3)
F.interpolate(x, (3, 2), mode="bilinear", antialias=True) | R(1, 1, 7, 5)
F.interpolate(x, (3, 7), mode="bicubic", antialias=True) | R(1, 1, 7, 5)
F.interpolate(x, (3, 2), mode="lanczos", antialias=True) | R(1, 1, 9, 7)
F.interpolate(x, (2, 3, 2), mode="trilinear", align_corners=True) | R(1, 1, 3, 2, 3)
F.interpolate(x, (2, 3), mode="area") | R(1, 1, 5, 4)
F.grid_sample(x, y, "bilinear", "zeros", False) | R(1, 1, 3, 4), R(1, 2, 3, 2)
F.grid_sample(x, y, "bilinear", "border", True) | R(1, 1, 3, 4), R(1, 2, 3, 2)
F.grid_sample(x, y, "bilinear", "reflection", False) | R(1, 1, 3, 4), R(1, 2, 3, 2) * 2
F.grid_sample(x, y, "nearest", "reflection", True) | R(1, 1, 3, 4), R(1, 2, 3, 2)
F.grid_sample(x, y, "bicubic", "border", False) | R(1, 1, 3, 4), R(1, 2, 3, 2)
F.grid_sample(x, y, "bicubic", "reflection", True) | R(1, 1, 3, 4), R(1, 2, 3, 2)
F.grid_sample(x, y, "bilinear", "zeros", True) | R(1, 1, 2, 3, 2), R(1, 2, 1, 2, 3)
F.affine_grid(x, (1, 1, 2, 3), False) | R(1, 2, 3)
F.affine_grid(x, (1, 1, 2, 1, 3), True) | R(1, 3, 4)
F.max_pool2d(x, 2, 1, 1, return_indices=True)[0] | R(1, 1, 3, 3)
F.normalize(x, 3.0, 0) | R(2, 3)
torch.native_group_norm(x, None, None, 1, 4, 3, 2, 0.1)[0] | R(1, 4, 3)
torch.native_layer_norm(x, (3,), y, None, 0.1)[0] | R(2, 3), R(3)
"""

# Results alone: whole numbers, and a layer whose gradient in PyTorch is another function's
RESULTS = """
nn.CrossMapLRN2d(4, 0.5)(R(1, 6, 2, 2))
F.max_pool2d(R(1, 2, 5, 4), 3, 2, 1, return_indices=True)[1]
F.max_pool1d(torch.tensor([[1.0, math.nan, 3.0, math.nan, 2.0]]), 3, 1, return_indices=True)[1]
F.max_pool1d(torch.full((1, 4), -math.inf), 3, 1, 1, return_indices=True)[1]
F.adaptive_max_pool3d(R(1, 1, 3, 4, 5), 2, return_indices=True)[1]
F.fractional_max_pool2d(R(1, 2, 6, 6), 2, 3, return_indices=True)[1]
F.interpolate(torch.arange(48).reshape(1, 1, 6, 8).mul(5).to(torch.uint8), (4, 5), mode="bilinear")
F.interpolate(torch.arange(48).reshape(1, 1, 6, 8).mul(5).to(torch.uint8), (9, 5), mode="bicubic")
F.avg_pool2d(torch.arange(-8, 8).reshape(1, 4, 4), 3)
F.conv1d(torch.arange(6).reshape(1, 6), torch.tensor([[[1, 2]]]))
"""


def lines(text: str) -> list[str]:
    return text.strip().splitlines()


def names(torch: Any) -> dict[str, Any]:
    """What a question may use."""

    def draw(*shape: int) -> Any:
        torch.manual_seed(0)
        return torch.randn(*shape)

    return {"torch": torch, "nn": torch.nn, "F": torch.nn.functional, "R": draw, "math": math}


def error(torch: Any, question: str) -> list[str]:
    """The type and text of what it raises."""
    try:
        eval(question, names(torch))
    except Exception as found:  # noqa: BLE001 whatever it raises is the answer
        return [type(found).__name__, str(found)]
    raise AssertionError(f"{question} raised nothing")


def layer(torch: Any, question: str) -> list[Any]:
    """The layer's repr, the names of its state, its result, its state and all gradients."""
    torch.manual_seed(1)
    module, x, *rest = eval(question, names(torch))
    torch.manual_seed(2)
    x = x.requires_grad_()
    out = module(x, *rest)
    wanted = [x, *module.parameters()]
    return [
        repr(module),
        list(module.state_dict()),
        [flat(out), *(flat(t) for t in module.state_dict().values())],
        gradients(torch, out, wanted),
    ]


def function(torch: Any, question: str) -> list[Any]:
    """The result and the gradients."""
    call, inputs = question.split(" | ")
    given = eval(f"[{inputs}]", names(torch))
    leaves = [t.requires_grad_() for t in given]
    scope = names(torch) | dict(zip("xy", leaves, strict=False))
    out = eval(call, scope)
    return [flat(out), gradients(torch, out, leaves)]


def gradients(torch: Any, out: Any, wanted: list) -> list[list[float]]:
    weights = torch.sin(torch.arange(out.numel()).to(out.dtype)).reshape(out.shape)
    found = torch.autograd.grad((out * weights).sum(), wanted, allow_unused=True)
    pairs = zip(found, wanted, strict=True)  # no gradient counts as zeros
    return [flat(torch.zeros_like(t) if g is None else g) for g, t in pairs]


def flat(t: Any) -> list[float]:
    """The shape and the numbers."""
    return [*t.shape, *(float(f"{v:.6g}") for v in t.detach().reshape(-1).tolist())]


def result(torch: Any, question: str) -> list[float]:
    """What comes back."""
    torch.manual_seed(1)
    return flat(eval(question, names(torch)))


KINDS: dict[str, tuple[Callable, str]] = {
    "errors": (error, ERRORS),
    "layers": (layer, LAYERS),
    "functions": (function, FUNCTIONS),
    "results": (result, RESULTS),
}


def _write() -> None:
    import torch

    warnings.simplefilter("ignore")
    parts = []
    for kind, (ask, text) in KINDS.items():
        answers = [f"{json.dumps(q)}: {json.dumps(ask(torch, q))}" for q in lines(text)]
        parts.append(f'"{kind}": {{\n' + ",\n".join(answers) + "\n}")
    FILE.write_text("{\n" + ",\n".join(parts) + "\n}\n")


if __name__ == "__main__":
    _write()
