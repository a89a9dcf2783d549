// Backup makes backups of OCI's volumes through oci-backup-gateway.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc/metadata"

	"github.com/oci-backup-gateway/oci-backup-gateway/examples/clients/go/backup"
	ocibackupv1 "github.com/oci-backup-gateway/oci-backup-gateway/examples/clients/go/gen/ocibackup/v1"
)

const usage = `backup [FLAGS] volume VOLUME_ID              makes a backup of a volume
backup [FLAGS] boot-volume BOOT_VOLUME_ID    makes a backup of a boot volume
backup [FLAGS] calls                         calls from standard input, answers to standard output, as JSON lines

--gateway TARGET       the gateway, as gRPC names it: host:port, dns:///name:port (default 127.0.0.1:50051)
--tls                  TLS, with the system's authorities
--tls-ca FILE          TLS, with these authorities (PEM)
--tls-cert FILE, --tls-key FILE    the certificate of this client and its key, for mutual TLS
--service-config FILE  in place of the one that is built in
--name NAME            the backup's display name
--retry-token TOKEN    default: a new UUID, told on standard error before the call
--timeout SECONDS      the deadline (default 30)
`

// What the command line says.
type options struct {
	gateway           backup.Gateway
	serviceConfigFile string
	name, retryToken  string
	timeout           time.Duration
	command, id       string
}

func main() {
	options, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err == nil {
		err = run(options)
	}
	var failure *backup.Failure
	switch {
	case errors.As(err, &failure):
		fmt.Fprintln(os.Stderr, failure)
		os.Exit(1)
	case err != nil:
		fmt.Fprintln(os.Stderr, "backup:", err)
		os.Exit(2)
	}
}

func parse(arguments []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("backup", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&o.gateway.Target, "gateway", "127.0.0.1:50051", "")
	flags.BoolVar(&o.gateway.TLS, "tls", false, "")
	flags.StringVar(&o.gateway.CAFile, "tls-ca", "", "")
	flags.StringVar(&o.gateway.CertFile, "tls-cert", "", "")
	flags.StringVar(&o.gateway.KeyFile, "tls-key", "", "")
	flags.StringVar(&o.serviceConfigFile, "service-config", "", "")
	flags.StringVar(&o.name, "name", "", "")
	flags.StringVar(&o.retryToken, "retry-token", "", "")
	seconds := flags.Float64("timeout", 30, "")
	err := flags.Parse(arguments)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Print(usage)
	}
	if err != nil {
		return o, err
	}
	if !(*seconds > 0 && *seconds <= 86400) {
		return o, errors.New("--timeout has to be more than 0, and at most 86400")
	}
	flags.Visit(func(given *flag.Flag) {
		if given.Name == "retry-token" && o.retryToken == "" {
			err = errors.New("--retry-token is empty: leave it out for a new one")
		}
	})
	if err != nil {
		return o, err
	}
	o.timeout = time.Duration(*seconds * float64(time.Second))
	if o.serviceConfigFile != "" {
		text, err := os.ReadFile(o.serviceConfigFile)
		if err != nil {
			return o, err
		}
		o.gateway.ServiceConfig = string(text)
	}
	o.command, o.id = flags.Arg(0), flags.Arg(1)
	operands := map[string]int{"volume": 2, "boot-volume": 2, "calls": 1}
	if flags.NArg() == 0 || flags.NArg() != operands[o.command] {
		return o, errors.New("one of these is expected: volume VOLUME_ID, boot-volume BOOT_VOLUME_ID, calls")
	}
	return o, nil
}

func run(o options) error {
	backup.LookUpNamesOften()
	channel, err := backup.Dial(o.gateway)
	if err != nil {
		return err
	}
	defer channel.Close()
	if o.command == "calls" {
		return answerLines(newCaller(channel), os.Stdin, os.Stdout)
	}
	if o.retryToken == "" {
		o.retryToken = uuid.NewString()
		fmt.Fprintln(os.Stderr, "retry token", o.retryToken)
	}
	ctx, cancel := context.WithTimeout(context.Background(), o.timeout)
	defer cancel()
	return create(ctx, backup.NewClient(channel), o)
}

func create(ctx context.Context, client *backup.Client, o options) error {
	var name *string
	if o.name != "" {
		name = &o.name
	}
	var made interface {
		GetId() string
		GetLifecycleState() ocibackupv1.LifecycleState
	}
	var header metadata.MD
	if o.command == "volume" {
		request := &ocibackupv1.CreateVolumeBackupRequest{VolumeId: o.id, DisplayName: name, RetryToken: &o.retryToken}
		response, md, err := client.CreateVolumeBackup(ctx, request)
		if err != nil {
			return err
		}
		made, header = response.GetVolumeBackup(), md
	} else {
		request := &ocibackupv1.CreateBootVolumeBackupRequest{BootVolumeId: o.id, DisplayName: name, RetryToken: &o.retryToken}
		response, md, err := client.CreateBootVolumeBackup(ctx, request)
		if err != nil {
			return err
		}
		made, header = response.GetBootVolumeBackup(), md
	}
	state := strings.TrimPrefix(made.GetLifecycleState().String(), "LIFECYCLE_STATE_")
	fmt.Printf("%s %s; retry token %s; opc-request-id %s\n", made.GetId(), state,
		backup.First(header, backup.RetryTokenKey), backup.First(header, backup.RequestIDKey))
	return nil
}
