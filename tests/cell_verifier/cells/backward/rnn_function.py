import torch


class RNNCellFunction(torch.autograd.Function):
    """One step, in the order of arguments of PyTorch's tutorial on extensions."""

    @staticmethod
    def forward(ctx, input, weight, bias, old_h):
        joined = torch.cat([old_h, input], dim=1)
        new_h = torch.tanh(joined @ weight.t() + bias)
        ctx.save_for_backward(joined, weight, new_h)
        return new_h

    @staticmethod
    def backward(ctx, grad_h):
        joined, weight, new_h = ctx.saved_tensors
        d_a = grad_h * (1 - new_h ** 2)
        d_weight = d_a.t() @ joined
        d_bias = d_a.sum(dim=0)
        d_joined = d_a @ weight
        size = grad_h.shape[1]
        return d_joined[:, size:], d_weight, d_bias, d_joined[:, :size]


FORWARD, BACKWARD, AGAINST = RNNCellFunction, None, "rnn"
