//! Activations in configuration files: `"mish"`, or with parameters
//! `{"softplus": {"beta": 2.0, "threshold": 20.0}}`, where a missing β is 1 and a missing threshold means none.

use super::{Activation, Softplus};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "an activation's name, or {\"softplus\": {\"beta\": …, \"threshold\": …}}"
)]
pub(super) enum Config {
    Name(String),
    Parameters(Parameters),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Parameters {
    Softplus(SoftplusParameters),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SoftplusParameters {
    #[serde(default = "one")]
    beta: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    threshold: Option<f64>,
}

fn one() -> f64 {
    1.0
}

impl From<Activation> for Config {
    fn from(activation: Activation) -> Self {
        match activation {
            Activation::Softplus(s) if !s.is_plain() => {
                Self::Parameters(Parameters::Softplus(SoftplusParameters {
                    beta: s.beta(),
                    // JSON has no infinity.
                    threshold: Some(s.threshold()).filter(|t| *t != f64::INFINITY),
                }))
            }
            _ => Self::Name(activation.name().to_string()),
        }
    }
}

impl TryFrom<Config> for Activation {
    type Error = candle_core::Error;

    fn try_from(config: Config) -> candle_core::Result<Self> {
        match config {
            Config::Name(name) => name.parse(),
            Config::Parameters(Parameters::Softplus(SoftplusParameters { beta, threshold })) => {
                Ok(Softplus::new(beta, threshold.unwrap_or(f64::INFINITY))?.into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_parameters_come_back() {
        for activation in Activation::ALL {
            let json = serde_json::to_string(&activation).unwrap();
            assert_eq!(json, format!("\"{activation}\""));
            assert_eq!(serde_json::from_str::<Activation>(&json).unwrap(), activation);
        }
        for (beta, threshold) in [(2.0, 20.0), (-0.5, f64::INFINITY), (1.0, f64::MIN)] {
            let activation = Activation::from(Softplus::new(beta, threshold).unwrap());
            let json = serde_json::to_string(&activation).unwrap();
            assert_eq!(
                serde_json::from_str::<Activation>(&json).unwrap(),
                activation,
                "{json}"
            );
        }
    }

    #[test]
    fn what_is_missing_is_as_without_parameters() {
        let parsed = |json: &str| serde_json::from_str::<Activation>(json).unwrap();
        assert_eq!(parsed(r#"{"softplus": {}}"#), Softplus::default().into());
        let threshold = Softplus::new(1.0, 20.0).unwrap();
        assert_eq!(parsed(r#"{"softplus": {"threshold": 20}}"#), threshold.into());
    }

    #[test]
    fn bad_configurations_say_what_was_expected() {
        let message = |json: &str| serde_json::from_str::<Activation>(json).unwrap_err().to_string();
        assert!(message("\"gelu\"").contains("mish"), "{}", message("\"gelu\""));
        assert!(message(r#"{"softplus": {"beta": 0.0}}"#).contains("beta must be finite and non-zero"));
        assert!(message(r#"{"softplus": {"bta": 1.0}}"#).contains("an activation's name"));
        assert!(message("3").contains("an activation's name"));
    }
}
