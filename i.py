import torch
from intriguing.attack.distortion import minimum_distortion as md
torch.manual_seed(0)
w=torch.rand(4,36)**2*.12; m=lambda z: z.flatten(1)@w.T+1e-4
x=torch.rand(8,1,6,6); x[0]=.45+.1*x[0]; x[1:]=.9+.1*x[1:]; x[0]*=.5
y=m(x).argsort(1)[:,2]; print(m(x).amax(1),m(1-x[:1]))
a=md(m,x,y); b=md(m,x.flip(0),y.flip(0)); print(a.success.tolist(),b.success.flip(0).tolist(),(a.rms/b.rms.flip(0)).tolist())
