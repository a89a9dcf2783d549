package main

import (
	"fmt"
	"reflect"
	"strings"
)

// What was looked at in a run, and what was wrong: one line for each.
type report struct {
	run    string
	looked int
	wrong  int
}

func (r *report) is(holds bool, format string, arguments ...any) bool {
	r.looked++
	if !holds {
		r.wrong++
		fmt.Printf("FAILED: %s: %s\n", r.run, strings.ReplaceAll(fmt.Sprintf(format, arguments...), "\n", " "))
	}
	return holds
}

func (r *report) same(what string, found, wanted any) bool {
	return r.is(reflect.DeepEqual(found, wanted), "%s: it is %s and has to be %s", what, inWords(found), inWords(wanted))
}

// Ids as they are written elsewhere, and not as bytes.
func inWords(value any) string {
	if named, is := value.(fmt.Stringer); is {
		return fmt.Sprintf("%q", named.String())
	}
	return fmt.Sprintf("%#v", value)
}
