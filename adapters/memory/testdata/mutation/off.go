package memory

// Off is the name of the decision that is switched off.
var Off string

func off(decision string) bool { return Off == decision }
