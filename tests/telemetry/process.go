package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

const patience = 20 * time.Second

// A process of ours; what it writes goes to files.
type process struct {
	name, stdout, stderr string
	command              *exec.Cmd
	ended                chan error
}

// Starts it with these variables and no others.
func start(name, work string, environment []string, binary string, arguments ...string) (*process, error) {
	p := &process{name: name, stdout: work + "/" + name + ".stdout", stderr: work + "/" + name + ".stderr", ended: make(chan error, 1)}
	out, err := os.Create(p.stdout)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	errors, err := os.Create(p.stderr)
	if err != nil {
		return nil, err
	}
	defer errors.Close()
	p.command = exec.Command(binary, arguments...)
	p.command.Env = append([]string{"HOME=" + work, "PATH=" + os.Getenv("PATH"), "RUST_LOG=info"}, environment...)
	p.command.Stdout, p.command.Stderr = out, errors
	if err := p.command.Start(); err != nil {
		return nil, err
	}
	go func() { p.ended <- p.command.Wait() }()
	return p, nil
}

// Asks it to end, and says how it did.
func (p *process) end() error {
	p.command.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-p.ended:
		p.ended <- err
		return err
	case <-time.After(patience):
		p.command.Process.Kill()
		return fmt.Errorf("the %s does not end", p.name)
	}
}

// Looks until there is something, or the process has ended.
func (p *process) until(what string, look func() string) (string, error) {
	for began := time.Now(); time.Since(began) < patience; time.Sleep(20 * time.Millisecond) {
		if found := look(); found != "" {
			return found, nil
		}
		select {
		case err := <-p.ended:
			p.ended <- err
			return "", fmt.Errorf("the %s has ended (%v): %s", p.name, err, read(p.stderr))
		default:
		}
	}
	return "", fmt.Errorf("the %s has no %s: %s%s", p.name, what, read(p.stdout), read(p.stderr))
}

// The second word of the line on standard output that begins with this one.
func (p *process) said(name string) (string, error) {
	return p.until(name, func() string {
		for line := range strings.Lines(read(p.stdout)) {
			if words := strings.Fields(line); len(words) > 1 && words[0] == name {
				return words[1]
			}
		}
		return ""
	})
}

// Its log so far.
func (p *process) log() []map[string]any {
	var lines []map[string]any
	scanner := bufio.NewScanner(bytes.NewReader([]byte(read(p.stderr))))
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		var line map[string]any
		if json.Unmarshal(scanner.Bytes(), &line) == nil {
			lines = append(lines, line)
		}
	}
	return lines
}

func read(file string) string {
	text, _ := os.ReadFile(file)
	return string(text)
}
