"""Segments a cloud of PyTorch tensors, on the GPU where there is one: python torch_device.py CLOUD"""

import sys

import torch

import partstad

device = "cuda" if torch.cuda.is_available() else "cpu"
points, colors = (torch.from_numpy(array).to(device) for array in partstad.read(sys.argv[1]))
# Where ONNX Runtime has no CUDA provider, the models compute on the CPU.
pipeline = partstad.Pipeline(device=device, model_options={"provider": "device-or-cpu"})
found = pipeline.segment(points, colors, ["arm", "back", "leg", "seat", "wheel"])
labels = torch.from_dlpack(found.labels).to(device)
for index, name in enumerate(found.parts):
    print(name, int((labels == index).sum()), "points, centre", points[labels == index].mean(dim=0).tolist())
