// The test drive: calls from standard input, answers to standard output, as JSON lines (tests/clients/README.md). Who
// copies this program leaves this file and load.go out.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/oci-backup-gateway/oci-backup-gateway/examples/clients/go/backup"
	ocibackupv1 "github.com/oci-backup-gateway/oci-backup-gateway/examples/clients/go/gen/ocibackup/v1"
)

// A call, as a line has it.
type call struct {
	RPC           string            `json:"rpc"`
	Request       json.RawMessage   `json:"request"`
	Metadata      map[string]string `json:"metadata"`
	TimeoutMs     int64             `json:"timeoutMs"`
	CancelAfterMs *int64            `json:"cancelAfterMs"`
	message       proto.Message
}

type fieldViolation struct {
	Field       string `json:"field"`
	Description string `json:"description"`
}

type quotaViolation struct {
	Subject     string `json:"subject"`
	Description string `json:"description"`
}

type resource struct {
	ResourceType string `json:"resourceType"`
	ResourceName string `json:"resourceName"`
}

// An answer. It has only what is there.
type answer struct {
	Code            string            `json:"code"`
	Response        json.RawMessage   `json:"response,omitempty"`
	Message         string            `json:"message,omitempty"`
	Domain          string            `json:"domain,omitempty"`
	Reason          string            `json:"reason,omitempty"`
	ErrorMetadata   map[string]string `json:"errorMetadata,omitempty"`
	RequestID       string            `json:"requestId,omitempty"`
	Violations      []fieldViolation  `json:"violations,omitempty"`
	QuotaViolations []quotaViolation  `json:"quotaViolations,omitempty"`
	Resource        *resource         `json:"resource,omitempty"`
	RetryAfterMs    *int64            `json:"retryAfterMs,omitempty"`
	PushbackMs      *int              `json:"pushbackMs,omitempty"`
	Metadata        map[string]string `json:"metadata,omitempty"`
	Decision        backup.Decision   `json:"decision,omitempty"`
	RepeatAfterMs   *int64            `json:"repeatAfterMs,omitempty"`
	Words           string            `json:"words,omitempty"`
	TookMs          int64             `json:"tookMs"`
}

// Each line of the input is a call, a list of calls or a load; one line of output comes of it.
func answerLines(with caller, input io.Reader, output io.Writer) error {
	reader, encoder := bufio.NewReader(input), json.NewEncoder(output)
	encoder.SetEscapeHTML(false)
	for {
		line, err := reader.ReadBytes('\n')
		if len(bytes.TrimSpace(line)) > 0 {
			answered, err := answerLine(with, line)
			if err != nil {
				return fmt.Errorf("a line that cannot be understood: %w", err)
			}
			if err := encoder.Encode(answered); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func answerLine(with caller, line []byte) (any, error) {
	if bytes.HasPrefix(bytes.TrimSpace(line), []byte("[")) {
		var calls []call
		if err := strict(line, &calls); err != nil {
			return nil, err
		}
		for index := range calls {
			if err := calls[index].read(); err != nil {
				return nil, err
			}
		}
		return atOnce(with, calls), nil
	}
	var one struct {
		Load *load `json:"load"`
		call
	}
	if err := strict(line, &one); err != nil {
		return nil, err
	}
	if one.Load != nil {
		return one.Load.run(with.client)
	}
	if err := one.call.read(); err != nil {
		return nil, err
	}
	return one.call.play(with), nil
}

// A word that nobody knows is a mistake of whoever wrote the line.
func strict(line []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.DisallowUnknownFields()
	return decoder.Decode(into)
}

func atOnce(with caller, calls []call) []answer {
	answers := make([]answer, len(calls))
	var all sync.WaitGroup
	for index := range calls {
		all.Go(func() { answers[index] = calls[index].play(with) })
	}
	all.Wait()
	return answers
}

func (c *call) read() error {
	switch c.RPC {
	case "CreateVolumeBackup":
		c.message = &ocibackupv1.CreateVolumeBackupRequest{}
	case "CreateBootVolumeBackup":
		c.message = &ocibackupv1.CreateBootVolumeBackupRequest{}
	default:
		return fmt.Errorf("no such rpc: %q", c.RPC)
	}
	if c.TimeoutMs == 0 {
		c.TimeoutMs = 30_000
	}
	if len(c.Request) == 0 {
		return nil
	}
	return protojson.Unmarshal(c.Request, c.message)
}

func (c *call) play(with caller) answer {
	ctx, cancel := context.WithTimeout(context.Background(), milliseconds(c.TimeoutMs))
	defer cancel()
	if c.CancelAfterMs != nil {
		defer time.AfterFunc(milliseconds(*c.CancelAfterMs), cancel).Stop()
	}
	ctx = metadata.NewOutgoingContext(ctx, metadata.New(c.Metadata))
	began := time.Now()
	response, md, err := with.invoke(ctx, c.message)
	took := time.Since(began).Milliseconds()
	var failure *backup.Failure
	if errors.As(err, &failure) {
		return failed(failure, took)
	}
	text, err := protojson.Marshal(response)
	if err != nil {
		return answer{Code: "INTERNAL", Message: err.Error(), TookMs: took}
	}
	return answer{Code: "OK", Response: text, Metadata: ofOCI(md), TookMs: took}
}

// The client, and the stubs themselves for what the client does not send.
type caller struct {
	client  *backup.Client
	service ocibackupv1.BackupServiceClient
}

func newCaller(channel grpc.ClientConnInterface) caller {
	return caller{backup.NewClient(channel), ocibackupv1.NewBackupServiceClient(channel)}
}

// A create without a retry token goes past the client, to show what the gateway does.
func (c caller) invoke(ctx context.Context, request proto.Message) (proto.Message, metadata.MD, error) {
	var header, trailer metadata.MD
	options := []grpc.CallOption{grpc.Header(&header), grpc.Trailer(&trailer)}
	var response proto.Message
	var err error
	switch request := request.(type) {
	case *ocibackupv1.CreateVolumeBackupRequest:
		if backup.SentToken(ctx, request) != "" {
			return c.client.CreateVolumeBackup(ctx, request)
		}
		response, err = c.service.CreateVolumeBackup(ctx, request, options...)
	case *ocibackupv1.CreateBootVolumeBackupRequest:
		if backup.SentToken(ctx, request) != "" {
			return c.client.CreateBootVolumeBackup(ctx, request)
		}
		response, err = c.service.CreateBootVolumeBackup(ctx, request, options...)
	}
	if err != nil {
		return nil, nil, backup.Explain(err, trailer, "")
	}
	return response, header, nil
}

func failed(failure *backup.Failure, took int64) answer {
	a := answer{
		Code:          failure.CodeName(),
		Message:       failure.Message,
		Domain:        failure.Info.GetDomain(),
		Reason:        failure.Info.GetReason(),
		ErrorMetadata: failure.Info.GetMetadata(),
		RequestID:     failure.RequestID,
		Metadata:      ofOCI(failure.Trailer),
		Decision:      failure.Decision,
		Words:         failure.Words,
		TookMs:        took,
	}
	for _, violation := range failure.Violations {
		a.Violations = append(a.Violations, fieldViolation{violation.GetField(), violation.GetDescription()})
	}
	for _, violation := range failure.Quota {
		a.QuotaViolations = append(a.QuotaViolations, quotaViolation{violation.GetSubject(), violation.GetDescription()})
	}
	if named := failure.Resource; named != nil {
		a.Resource = &resource{named.GetResourceType(), named.GetResourceName()}
	}
	if failure.RetryInfo != nil {
		after := failure.RetryInfo.GetRetryDelay().AsDuration().Milliseconds()
		a.RetryAfterMs = &after
	}
	if pushback, told := failure.Pushback(); told {
		a.PushbackMs = &pushback
	}
	if failure.Decision == backup.Repeat {
		after := failure.RepeatAfter.Milliseconds()
		a.RepeatAfterMs = &after
	}
	return a
}

func ofOCI(md metadata.MD) map[string]string {
	kept := map[string]string{}
	for key, values := range md {
		if key == "etag" || strings.HasPrefix(key, "opc-") {
			kept[key] = values[0]
		}
	}
	return kept
}

func milliseconds(count int64) time.Duration { return time.Duration(count) * time.Millisecond }
