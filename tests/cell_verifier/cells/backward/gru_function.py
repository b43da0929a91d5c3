import torch


class GRUFunction(torch.autograd.Function):
    """A sequence, batch first, with torch.nn's weights and equations."""

    @staticmethod
    def forward(ctx, x, h, w_ih, w_hh, b_ih, b_hh):
        steps, outputs = [], []
        for t in range(x.shape[1]):
            x_r, x_z, x_n = (x[:, t] @ w_ih.t() + b_ih).chunk(3, 1)
            h_r, h_z, h_n = (h @ w_hh.t() + b_hh).chunk(3, 1)
            r, z = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)
            n = torch.tanh(x_n + r * h_n)
            old_h = h
            h = (1 - z) * n + z * old_h
            steps.append((old_h, r, z, n, h_n, h))
            outputs.append(h)
        ctx.steps = steps
        ctx.save_for_backward(x, w_ih, w_hh)
        return torch.stack(outputs, dim=1)

    @staticmethod
    def backward(ctx, grad_output):
        x, w_ih, w_hh = ctx.saved_tensors
        dx = torch.zeros_like(x)
        dw_ih, dw_hh = torch.zeros_like(w_ih), torch.zeros_like(w_hh)
        db_ih, db_hh = torch.zeros(w_ih.shape[0]), torch.zeros(w_ih.shape[0])
        dh = torch.zeros_like(ctx.steps[0][0])
        for t in reversed(range(x.shape[1])):
            old_h, r, z, n, h_n, h = ctx.steps[t]
            dh = dh + grad_output[:, t]
            dz = dh * (old_h - n) * z * (1 - z)
            dn = dh * (1 - z) * (1 - n ** 2)
            dr = dn * h_n * r * (1 - r)
            d_x = torch.cat([dr, dz, dn], dim=1)
            d_h = torch.cat([dr, dz, dn * r], dim=1)
            dx[:, t] = d_x @ w_ih
            dw_ih += d_x.t() @ x[:, t]
            dw_hh += d_h.t() @ old_h
            db_ih += d_x.sum(0)
            db_hh += d_h.sum(0)
            dh = dh * z + d_h @ w_hh
        return dx, dh, dw_ih, dw_hh, db_ih, db_hh


FORWARD, BACKWARD, AGAINST = GRUFunction, None, "gru"
