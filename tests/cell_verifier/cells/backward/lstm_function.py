import torch


class LSTMFunction(torch.autograd.Function):
    """One layer over a sequence (T, B, I), with torch.nn's weights."""

    @staticmethod
    def forward(ctx, x, h0, c0, w_ih, w_hh, b_ih, b_hh):
        h, c = h0, c0
        steps, outputs = [], []
        for t in range(x.shape[0]):
            gates = x[t] @ w_ih.t() + b_ih + h @ w_hh.t() + b_hh
            i, f, g, o = gates.chunk(4, 1)
            i, f, g, o = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
            old_h, old_c = h, c
            c = f * c + i * g
            h = o * c.tanh()
            steps.append((old_h, old_c, i, f, g, o, c))
            outputs.append(h)
        ctx.steps = steps
        ctx.save_for_backward(x, w_ih, w_hh)
        return torch.stack(outputs), h, c

    @staticmethod
    def backward(ctx, grad_output, grad_h, grad_c):
        x, w_ih, w_hh = ctx.saved_tensors
        dx = torch.zeros_like(x)
        dw_ih, dw_hh = torch.zeros_like(w_ih), torch.zeros_like(w_hh)
        db = torch.zeros(w_ih.shape[0])
        dh, dc = grad_h, grad_c
        for t in reversed(range(x.shape[0])):
            old_h, old_c, i, f, g, o, c = ctx.steps[t]
            dh = dh + grad_output[t]
            tanh_c = c.tanh()
            d_o = dh * tanh_c * o * (1 - o)
            dc = dc + dh * o * (1 - tanh_c ** 2)
            d_i = dc * g * i * (1 - i)
            d_f = dc * old_c * f * (1 - f)
            d_g = dc * i * (1 - g ** 2)
            dc = dc * f
            d_gates = torch.cat([d_i, d_f, d_g, d_o], dim=1)
            dx[t] = d_gates @ w_ih
            dh = d_gates @ w_hh
            dw_ih += d_gates.t() @ x[t]
            dw_hh += d_gates.t() @ old_h
            db += d_gates.sum(0)
        return dx, dh, dc, dw_ih, dw_hh, db, db.clone()


FORWARD, BACKWARD, AGAINST = LSTMFunction, None, "lstm"
