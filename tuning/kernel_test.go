package tuning

var kernelCases []itemCase
