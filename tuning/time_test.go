package tuning

var timeCases []itemCase
