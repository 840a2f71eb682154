package tuning

var interruptCases []itemCase
