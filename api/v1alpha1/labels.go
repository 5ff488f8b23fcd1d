package v1alpha1

// What a job's pods wear, and the name of the container that trains.
const (
	// JobLabel holds the job's name.
	JobLabel = "hrm.dev/job"
	// AttemptLabel holds the number of the attempt.
	AttemptLabel = "hrm.dev/attempt"
	// TrainerContainer is the container that trains.
	TrainerContainer = "trainer"
)
