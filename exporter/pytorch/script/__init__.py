"""TorchScript as Python: the code inside a scripted or traced module, written as the Python module that computes it.

TorchScript keeps a module's code, and not the Python that it was made from:

    %n : int = aten::size(%x, %zero)                 class Loop(Module):
    %h : Tensor = prim::Loop(%n, %true, %h0)             def forward(self, x: Tensor):
      block0(%t : int, %h.1 : Tensor):                       h = torch.zeros(x.size(1), 8)
        %x_t : Tensor = aten::select(%x, 0, %t)              for t in range(x.size(0)):
        %h.2 : Tensor = CallMethod["forward"](...)               h = self.cell.forward(x[t], h)
        -> (%true, %h.2)                                     return h

Every operator is written by a rule of its own, so that nothing of an archive's text is run as it is; one without a rule
is an operator of PyTorch and called by its name, or refused.
"""
