"""Where ECGs come from: PTB-XL, files of one's own, the practice set; leads by name, in mV, at a rate in Hz."""
