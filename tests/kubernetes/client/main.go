// Client calls the gateway from a pod, as a service would: with a retry token of its own, a deadline, and the channel of
// examples/clients/go, which has the service configuration that callers are given.
//
//	client call    -target T -method M -json '{…}'             one call; prints the answer
//	client load    -target T -rate R -for D -prefix P [-anew]  calls until D has passed or SIGTERM; prints a summary
//	client spread  -target T -calls N                          calls N times; prints how many each pod served
//	client ledger  -url U -prefix P                            what the sandbox has under the tokens of a load
//	client shown   -host H                                     the certificates that all addresses of a host show
//	client http    -url U -method M -body B                    what the sandbox's control listener is told
//	client cat FILE…                                           for images without a shell
//	client hold                                                waits for SIGTERM
//	client stop                                                ends the loads of this pod
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	_ "embed"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/oci-backup-gateway/oci-backup-gateway/examples/clients/go/backup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// What the build puts beside this file: the project's proto.
//
//go:embed contract.binpb
var contract []byte

const service = "ocibackup.v1.BackupService"

func main() {
	log := func(err error) {
		fmt.Fprintln(os.Stderr, "client:", err)
		os.Exit(1)
	}
	if len(os.Args) < 2 {
		log(fmt.Errorf("say what to do: call, load, spread, ledger, cat, hold"))
	}
	backup.LookUpNamesOften()
	arguments := os.Args[2:]
	commands := map[string]func([]string) error{
		"call": call, "load": load, "spread": spread, "ledger": ledger, "shown": shown, "http": tell, "cat": cat, "hold": hold, "stop": stop,
	}
	command, known := commands[os.Args[1]]
	if !known {
		log(fmt.Errorf("no such command: %s", os.Args[1]))
	}
	if err := command(arguments); err != nil {
		log(err)
	}
}

// A way to the gateway.
type dialling struct {
	target, ca, cert, key string
}

func (d *dialling) flags(set *flag.FlagSet) {
	set.StringVar(&d.target, "target", "", "the gateway, as gRPC names it")
	set.StringVar(&d.ca, "ca", "", "PEM file of the gateway's authority; without it, plaintext")
	set.StringVar(&d.cert, "cert", "", "PEM file of this client's certificate")
	set.StringVar(&d.key, "key", "", "PEM file of its key")
}

// As the example does it that callers copy.
func (d *dialling) dial() (*grpc.ClientConn, error) {
	return backup.Dial(backup.Gateway{Target: d.target, CAFile: d.ca, CertFile: d.cert, KeyFile: d.key})
}

// As somebody does it who has read nothing: a call that fails has failed.
func (d *dialling) dialBare() (*grpc.ClientConn, error) {
	return grpc.NewClient(d.target,
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDisableServiceConfig(), grpc.WithDisableRetry())
}

// The request and answer of a method, by the contract.
func messages(method string) (request, answer *dynamicpb.Message, err error) {
	set := &descriptorpb.FileDescriptorSet{}
	if err := proto.Unmarshal(contract, set); err != nil {
		return nil, nil, err
	}
	files, err := protodesc.NewFiles(set)
	if err != nil {
		return nil, nil, err
	}
	found, err := files.FindDescriptorByName(service)
	if err != nil {
		return nil, nil, err
	}
	described := found.(protoreflect.ServiceDescriptor).Methods().ByName(protoreflect.Name(method))
	if described == nil {
		return nil, nil, fmt.Errorf("no such method: %s", method)
	}
	return dynamicpb.NewMessage(described.Input()), dynamicpb.NewMessage(described.Output()), nil
}

func invoke(connection *grpc.ClientConn, method, text string, timeout time.Duration, options ...grpc.CallOption) (proto.Message, error) {
	request, answer, err := messages(method)
	if err != nil {
		return nil, err
	}
	if err := protojson.Unmarshal([]byte(text), request); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return answer, connection.Invoke(ctx, "/"+service+"/"+method, request, answer, options...)
}

func call(arguments []string) error {
	set := flag.NewFlagSet("call", flag.ExitOnError)
	var way dialling
	way.flags(set)
	method := set.String("method", "CreateVolumeBackup", "the RPC")
	text := set.String("json", "{}", "the request")
	timeout := set.Duration("timeout", 30*time.Second, "its deadline")
	set.Parse(arguments)
	connection, err := way.dial()
	if err != nil {
		return err
	}
	answer, err := invoke(connection, *method, *text, *timeout)
	if err != nil {
		return err
	}
	fmt.Println(protojson.MarshalOptions{Multiline: false}.Format(answer))
	return nil
}

// The nth call of a load: both RPCs take turns, every call has a volume and a token of its own.
func nth(prefix string, n int) (method, text string) {
	if n%2 == 0 {
		return "CreateVolumeBackup", fmt.Sprintf(`{"volumeId":"ocid1.volume.oc1.iad.%s%d","retryToken":"%s-%d"}`, prefix, n, prefix, n)
	}
	return "CreateBootVolumeBackup", fmt.Sprintf(`{"bootVolumeId":"ocid1.bootvolume.oc1.iad.%s%d","retryToken":"%s-%d"}`, prefix, n, prefix, n)
}

func load(arguments []string) error {
	set := flag.NewFlagSet("load", flag.ExitOnError)
	var way dialling
	way.flags(set)
	rate := set.Float64("rate", 20, "calls a second")
	long := set.Duration("for", time.Minute, "how long")
	prefix := set.String("prefix", "load", "of the retry tokens")
	anew := set.Bool("anew", false, "each call on a connection of its own, in plaintext, without the service configuration")
	set.Parse(arguments)
	connection, err := way.dial()
	if err != nil {
		return err
	}
	one := func(method, text string) error {
		if !*anew {
			_, err := invoke(connection, method, text, 30*time.Second)
			return err
		}
		own, err := way.dialBare()
		if err != nil {
			return err
		}
		defer own.Close()
		_, err = invoke(own, method, text, 30*time.Second)
		return err
	}
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM, syscall.SIGINT)
	over := time.After(*long)
	tick := time.NewTicker(time.Duration(float64(time.Second) / *rate))
	var calls sync.WaitGroup
	var guard sync.Mutex
	good, failed, longest := 0, 0, time.Duration(0)
	n := 0
loop:
	for ; ; n++ {
		select {
		case <-ended:
			break loop
		case <-over:
			break loop
		case <-tick.C:
		}
		calls.Add(1)
		go func(n int) {
			defer calls.Done()
			began := time.Now()
			method, text := nth(*prefix, n)
			err := one(method, text)
			took := time.Since(began)
			guard.Lock()
			defer guard.Unlock()
			longest = max(longest, took)
			if err == nil {
				good++
				return
			}
			failed++
			fmt.Fprintf(os.Stderr, "%s %s-%d failed after %s: %s\n", began.Format(time.RFC3339Nano), *prefix, n, took, err)
		}(n)
		if n%100 == 0 {
			fmt.Fprintf(os.Stderr, "%s %d calls begun\n", time.Now().Format(time.RFC3339), n)
		}
	}
	calls.Wait()
	return json.NewEncoder(os.Stdout).Encode(map[string]any{
		"calls": n, "good": good, "failed": failed, "longest_ms": longest.Milliseconds(),
	})
}

func spread(arguments []string) error {
	set := flag.NewFlagSet("spread", flag.ExitOnError)
	var way dialling
	way.flags(set)
	calls := set.Int("calls", 60, "how many")
	prefix := set.String("prefix", "spread", "of the retry tokens")
	set.Parse(arguments)
	connection, err := way.dial()
	if err != nil {
		return err
	}
	served := map[string]int{}
	for n := range *calls {
		var by peer.Peer
		method, text := nth(*prefix, n)
		if _, err := invoke(connection, method, text, 30*time.Second, grpc.Peer(&by)); err != nil {
			return err
		}
		host, _, _ := net.SplitHostPort(by.Addr.String())
		served[host]++
	}
	return json.NewEncoder(os.Stdout).Encode(served)
}

func ledger(arguments []string) error {
	set := flag.NewFlagSet("ledger", flag.ExitOnError)
	url := set.String("url", "", "of the sandbox's ledger")
	prefix := set.String("prefix", "", "of the retry tokens")
	set.Parse(arguments)
	answer, err := http.Get(*url)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	var read struct {
		CommitsPerToken map[string]int `json:"commits_per_token"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&read); err != nil {
		return err
	}
	tokens, doubled := 0, 0
	for token, commits := range read.CommitsPerToken {
		if strings.HasPrefix(token, *prefix+"-") {
			tokens++
			if commits != 1 {
				doubled++
			}
		}
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]int{"tokens": tokens, "doubled": doubled})
}

func shown(arguments []string) error {
	set := flag.NewFlagSet("shown", flag.ExitOnError)
	ca := set.String("ca", "", "PEM file of their authority")
	host := set.String("host", "", "the name, which the certificates have to have")
	port := set.String("port", "50051", "of all addresses")
	set.Parse(arguments)
	pem, err := os.ReadFile(*ca)
	if err != nil {
		return err
	}
	config := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: *host, NextProtos: []string{"h2"}}
	config.RootCAs.AppendCertsFromPEM(pem)
	addresses, err := net.LookupHost(*host)
	if err != nil {
		return err
	}
	serials := map[string]string{}
	for _, address := range addresses {
		connection, err := tls.Dial("tcp", net.JoinHostPort(address, *port), config)
		if err != nil {
			return err
		}
		serials[address] = fmt.Sprintf("%x", connection.ConnectionState().PeerCertificates[0].SerialNumber)
		connection.Close()
	}
	return json.NewEncoder(os.Stdout).Encode(serials)
}

func tell(arguments []string) error {
	set := flag.NewFlagSet("http", flag.ExitOnError)
	url := set.String("url", "", "where")
	method := set.String("method", "POST", "how")
	body := set.String("body", "", "what")
	set.Parse(arguments)
	request, err := http.NewRequest(*method, *url, strings.NewReader(*body))
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if _, err := io.Copy(os.Stdout, answer.Body); err != nil {
		return err
	}
	if answer.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s", *method, *url, answer.Status)
	}
	return nil
}

func cat(files []string) error {
	for _, name := range files {
		file, err := os.Open(name)
		if err != nil {
			return err
		}
		if _, err := io.Copy(os.Stdout, file); err != nil {
			return err
		}
		file.Close()
	}
	return nil
}

func hold([]string) error {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM, syscall.SIGINT)
	<-ended
	return nil
}

func stop([]string) error {
	processes, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return err
	}
	for _, name := range processes {
		words, err := os.ReadFile(name)
		if err != nil || !strings.Contains(string(words), "\x00load\x00") {
			continue
		}
		process, err := strconv.Atoi(strings.Split(name, "/")[2])
		if err != nil {
			return err
		}
		if err := syscall.Kill(process, syscall.SIGTERM); err != nil {
			return err
		}
	}
	return nil
}
