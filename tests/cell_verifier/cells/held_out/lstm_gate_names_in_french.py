import torch
from torch import nn


class MyLSTM(nn.Module):
    """A cell: French names of the gates, h before x."""

    def __init__(self, taille_entree, taille_cachee):
        super().__init__()
        n = taille_entree + taille_cachee
        self.oubli = nn.Linear(n, taille_cachee)
        self.ecriture = nn.Linear(n, taille_cachee)
        self.nouveau = nn.Linear(n, taille_cachee)
        self.lecture = nn.Linear(n, taille_cachee)

    def forward(self, x, etat):
        h, c = etat
        v = torch.cat([h, x], -1)
        c = self.oubli(v).sigmoid() * c + self.ecriture(v).sigmoid() * self.nouveau(v).tanh()
        return self.lecture(v).sigmoid() * c.tanh(), c
