package backup

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// Decision is what to do with a failed call.
type Decision string

const (
	// Repeat the same call with the same retry token, after RepeatAfter.
	Repeat Decision = "REPEAT"
	// Stop: this call made nothing, and the same call would fail again.
	Stop Decision = "STOP"
)

// Failure is all that a failed call says. As an error it is one line, for a person who has to act on it.
type Failure struct {
	Code    codes.Code
	Message string
	// What the gateway told besides. Without Info it was not the gateway that answered, but the library.
	Info       *errdetails.ErrorInfo
	Violations []*errdetails.BadRequest_FieldViolation
	Quota      []*errdetails.QuotaFailure_Violation
	Resource   *errdetails.ResourceInfo
	RetryInfo  *errdetails.RetryInfo
	// What Oracle's support asks for.
	RequestID string
	// The token of the call, for repeating it.
	RetryToken string
	Trailer    metadata.MD

	Decision    Decision
	RepeatAfter time.Duration
	Words       string
}

func (f *Failure) Error() string { return f.Words }

// CodeName is the code as gRPC's documents write it.
func (f *Failure) CodeName() string { return code.Code(f.Code).String() }

// Explain turns a failed call into words and a decision. It takes the error, the trailing metadata and the retry token
// that was sent.
func Explain(err error, trailer metadata.MD, sentToken string) *Failure {
	failed := status.Convert(err)
	f := &Failure{Code: failed.Code(), Message: failed.Message(), Trailer: trailer}
	f.RequestID, f.RetryToken = First(trailer, RequestIDKey), First(trailer, RetryTokenKey)
	if f.RetryToken == "" {
		f.RetryToken = sentToken
	}
	for _, detail := range failed.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			f.Info = detail
		case *errdetails.RequestInfo:
			f.RequestID = detail.GetRequestId()
		case *errdetails.RetryInfo:
			f.RetryInfo = detail
		case *errdetails.BadRequest:
			f.Violations = detail.GetFieldViolations()
		case *errdetails.QuotaFailure:
			f.Quota = detail.GetViolations()
		case *errdetails.ResourceInfo:
			f.Resource = detail
		}
	}
	f.decide()
	f.Words = f.inWords()
	return f
}

func (f *Failure) outcome() string { return f.Info.GetMetadata()["outcome"] }

func (f *Failure) decide() {
	f.Decision = Stop
	switch {
	case f.RetryInfo != nil, f.outcome() == "UNKNOWN", f.outcome() == "STARTED":
		f.Decision = Repeat
	case f.Info == nil:
		// Nobody knows how far the call came.
		switch f.Code {
		case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled, codes.Unknown, codes.Internal:
			f.Decision = Repeat
		}
	}
	if f.Decision == Repeat {
		f.RepeatAfter = time.Second
		if f.RetryInfo != nil {
			f.RepeatAfter = f.RetryInfo.GetRetryDelay().AsDuration()
		}
	}
}

func (f *Failure) inWords() string {
	var words strings.Builder
	fmt.Fprintf(&words, "%s: %s", f.CodeName(), f.Message)
	if ociCode := f.Info.GetMetadata()["oci_code"]; ociCode != "" {
		fmt.Fprintf(&words, " [%s]", ociCode)
	}
	fmt.Fprintf(&words, "; %s; %s", f.whatBecameOfIt(), f.advice())
	if f.RequestID != "" {
		fmt.Fprintf(&words, "; opc-request-id %s", f.RequestID)
	}
	return oneLine.Replace(words.String())
}

var oneLine = strings.NewReplacer("\r\n", " ", "\n", " ", "\r", " ")

func (f *Failure) whatBecameOfIt() string {
	switch {
	case f.outcome() == "UNKNOWN":
		return "the backup may have been made"
	case f.outcome() == "STARTED":
		return "the backup was made, but its answer cannot be used"
	case f.Info == nil && f.Decision == Repeat:
		return "no gateway answered, so the backup may have been made"
	default:
		return "this call made nothing"
	}
}

func (f *Failure) advice() string {
	if f.Decision == Repeat {
		return fmt.Sprintf("repeat with the retry token %s in %.1f s", f.RetryToken, f.RepeatAfter.Seconds())
	}
	if len(f.Violations) > 0 {
		var wrong []string
		for _, violation := range f.Violations {
			wrong = append(wrong, violation.GetField()+": "+violation.GetDescription())
		}
		return "mend " + strings.Join(wrong, ", ")
	}
	switch f.Info.GetReason() {
	case "CREDENTIAL_UNAVAILABLE", "UPSTREAM_TLS", "UPSTREAM_REDIRECT":
		return "this is for those who run the gateway"
	}
	switch f.Code {
	case codes.Unauthenticated, codes.PermissionDenied, codes.Unimplemented, codes.Internal:
		return "this is for those who run the gateway"
	case codes.FailedPrecondition:
		return "find out whether the backup exists before using a new token"
	}
	return "mend the cause before repeating"
}

// Pushback is what the gateway tells the library: milliseconds to wait before it repeats the call, negative where it
// must not. It is here for the curious; the library has obeyed it already.
func (f *Failure) Pushback() (milliseconds int, told bool) {
	milliseconds, err := strconv.Atoi(First(f.Trailer, "grpc-retry-pushback-ms"))
	return milliseconds, err == nil
}
