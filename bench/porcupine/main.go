// Porcupine on its own recorded histories, for `trandb-bench checker`.
//
// Prints file, microseconds (median of 51 checks by one thread, without parsing) and model steps
// of one check, separated by tabs. The argument is a folder with verdicts.tsv.
package main

import (
	"bufio"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

const checks = 51

var steps int

type registerInput struct {
	f    string
	a, b int
}

type registerOutput struct {
	ok, unknown bool
	value       int
}

// What an etcd register holds before the first write.
const absent = -1

var register = porcupine.Model{
	Init: func() interface{} { return absent },
	Step: func(state, input, output interface{}) (bool, interface{}) {
		steps++
		s, in, out := state.(int), input.(registerInput), output.(registerOutput)
		switch in.f {
		case "read":
			return out.unknown || out.value == s, s
		case "write":
			return true, in.a
		}
		matches := in.a == s
		if matches {
			return out.ok || out.unknown, in.b
		}
		return !out.ok || out.unknown, s
	},
}

type kvInput struct{ f, key, value string }

var kv = porcupine.Model{
	PartitionEvent: func(history []porcupine.Event) [][]porcupine.Event {
		parts := map[string][]porcupine.Event{}
		keys := map[int]string{}
		for _, event := range history {
			if event.Kind == porcupine.CallEvent {
				keys[event.Id] = event.Value.(kvInput).key
			}
			key := keys[event.Id]
			parts[key] = append(parts[key], event)
		}
		var all [][]porcupine.Event
		for _, part := range parts {
			all = append(all, part)
		}
		return all
	},
	Init: func() interface{} { return "" },
	Step: func(state, input, output interface{}) (bool, interface{}) {
		steps++
		s, in := state.(string), input.(kvInput)
		switch in.f {
		case "get":
			return output.(string) == s, s
		case "put":
			return true, in.value
		}
		return true, s + in.value
	},
}

func number(text string) int {
	if text == "nil" {
		return absent
	}
	value, err := strconv.Atoi(text)
	if err != nil {
		log.Fatal(err)
	}
	return value
}

var (
	logLine = regexp.MustCompile(`(\d+)\s+:(\w+)\s+:(\w+)\s+(.*)$`)
	kvLine  = regexp.MustCompile(
		`:process (\d+), :type :(\w+), :f :(\w+), :key "(.*)", :value (?:nil|"(.*)")`)
)

func lines(path string) []string {
	file, err := os.Open(path)
	if err != nil {
		log.Fatal(err)
	}
	defer file.Close()
	var all []string
	for scanner := bufio.NewScanner(file); scanner.Scan(); {
		all = append(all, scanner.Text())
	}
	return all
}

// Calls and returns; what never returned returns at the end with an unknown answer.
type recorder struct {
	events []porcupine.Event
	open   map[int]int
	next   int
}

func (r *recorder) call(process int, input interface{}) {
	r.open[process] = r.next
	r.events = append(r.events, porcupine.Event{
		ClientId: process, Kind: porcupine.CallEvent, Value: input, Id: r.next})
	r.next++
}

func (r *recorder) returns(process int, output interface{}) {
	r.events = append(r.events, porcupine.Event{
		ClientId: process, Kind: porcupine.ReturnEvent, Value: output, Id: r.open[process]})
	delete(r.open, process)
}

func readLog(path string) []porcupine.Event {
	r := recorder{open: map[int]int{}}
	var unknown []int
	for _, line := range lines(path) {
		match := logLine.FindStringSubmatch(line)
		if match == nil {
			continue
		}
		process, kind, f := number(match[1]), match[2], match[3]
		values := strings.Fields(strings.Trim(strings.TrimSpace(match[4]), "[]"))
		timedOut := strings.HasPrefix(values[0], ":timed")
		switch kind {
		case "invoke":
			input := registerInput{f: f}
			if f != "read" {
				input.a = number(values[0])
			}
			if f == "cas" {
				input.b = number(values[1])
			}
			r.call(process, input)
		case "ok":
			output := registerOutput{ok: true}
			if f == "read" {
				output.value = number(values[0])
			}
			r.returns(process, output)
		case "fail":
			r.returns(process, registerOutput{unknown: timedOut && f == "read"})
		case "info":
			unknown = append(unknown, r.open[process])
			delete(r.open, process)
		}
	}
	for _, id := range r.open {
		unknown = append(unknown, id)
	}
	for _, id := range unknown {
		r.events = append(r.events, porcupine.Event{
			Kind: porcupine.ReturnEvent, Value: registerOutput{unknown: true}, Id: id})
	}
	return r.events
}

func readKv(path string) []porcupine.Event {
	r := recorder{open: map[int]int{}}
	for _, line := range lines(path) {
		match := kvLine.FindStringSubmatch(line)
		if match == nil {
			continue
		}
		if match[2] == "invoke" {
			r.call(number(match[1]), kvInput{match[3], match[4], match[5]})
		} else {
			r.returns(number(match[1]), match[5])
		}
	}
	return r.events
}

func main() {
	runtime.GOMAXPROCS(1)
	folder := os.Args[len(os.Args)-1]
	fmt.Println("file\tmicroseconds\tsteps")
	for _, line := range lines(filepath.Join(folder, "verdicts.tsv")) {
		file := strings.SplitN(line, "\t", 2)[0]
		var model porcupine.Model
		var history []porcupine.Event
		switch {
		case strings.HasPrefix(file, "porcupine/jepsen/"):
			model, history = register, readLog(filepath.Join(folder, file))
		case strings.HasPrefix(file, "porcupine/kv/"):
			model, history = kv, readKv(filepath.Join(folder, file))
		default:
			continue
		}
		var times []float64
		for check := 0; check < checks; check++ {
			steps = 0
			began := time.Now()
			porcupine.CheckEvents(model, history)
			times = append(times, float64(time.Since(began).Nanoseconds())/1e3)
		}
		sort.Float64s(times)
		fmt.Printf("%s\t%.1f\t%d\n", file, times[checks/2], steps)
	}
}
